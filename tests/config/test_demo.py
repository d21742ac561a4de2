"""The demo: made once in an empty portal, with spinners anyone can publish again."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from accounts.models import Membership, Team, User
from config.demo import contacts, provider, seeding
from jobs.models import Job
from projects.models import Contact, Pipeline, Project, Tag
from projects.publishing import problems_in


@pytest.mark.django_db
def test_the_demo_is_made_once_and_says_how_to_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPINDLE_DEMO_PASSWORD", raising=False)
    first = seeding.ensure(tmp_path)
    second = seeding.ensure(tmp_path)
    assert first == second
    email, password = first.sign_in.removeprefix("Sign in as ").split(" with password ")
    assert User.objects.get(email=email).check_password(password)
    assert sorted(Membership.objects.values_list("role", flat=True)) == [
        "admin", "builder", "operator", "viewer",
    ]  # fmt: skip
    assert Contact.objects.count() == contacts.COUNT
    assert Project.objects.get(slug="spring-renewals").contact_count == contacts.COUNT
    jobs = Job.objects.order_by("pk")
    assert [job.kind for job in jobs] == ["spinner"] * 3 + ["workflow"] * 3
    assert {job.status for job in jobs} == {"pending"}
    assert all(job.total_count for job in jobs)
    assert Tag.objects.filter(contacts__isnull=False).distinct().count() == 2
    spinners = Pipeline.objects.select_related("current_version").filter(kind="spinner")
    assert len(spinners) == 3
    for spinner in spinners:
        assert problems_in(spinner.current_version.definition, spinner.team_id) == []

    monkeypatch.setenv("SPINDLE_DEMO_PASSWORD", "another-pass")
    assert seeding.ensure(tmp_path).sign_in.endswith("with password another-pass")
    assert User.objects.get(email=seeding.ADMIN).check_password("another-pass")


@pytest.mark.django_db
def test_a_portal_in_use_gets_no_demo(team: Team, tmp_path: Path) -> None:
    assert seeding.ensure(tmp_path) == seeding.Demo()
    assert Team.objects.count() == 1


def test_contacts_are_the_same_every_time_and_of_all_kinds() -> None:
    made = list(contacts.contacts())
    assert made == list(contacts.contacts())
    assert any(not contact["name"] for contact in made)
    assert len({contact["name"] for contact in made}) > contacts.COUNT // 2
    assert any(not contact["email"] and not contact["phone"] for contact in made)
    assert any("\u0600" < contact["name"][:1] < "\u06ff" for contact in made)


async def test_the_provider_keeps_its_word_about_keys() -> None:
    app = provider.application()
    async with TestClient(TestServer(app)) as client:

        async def send(key: str, **message: Any) -> tuple[int, Any]:
            headers = {"Idempotency-Key": key}
            async with client.post("/messages", json=message, headers=headers) as answer:
                assert answer.status != 503 or answer.headers["Retry-After"] == "1"
                return answer.status, await answer.json()

        statuses = await asyncio.gather(
            *(send(f"key-{n}", to="+46700000001", text="hi") for n in range(60))
        )
        assert {status for status, _ in statuses} == {201, 503}
        again = await asyncio.gather(
            *(send(f"key-{n}", to="+46700000001", text="hi") for n in range(60))
        )
        assert all(
            new in (first, (201, new[1])) and (first[0] == 503 or new[1] == first[1])
            for first, new in zip(statuses, again, strict=True)
        )
        assert (await send("other", to="call reception", text="hi"))[0] in (422, 503)
