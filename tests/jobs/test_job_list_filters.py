"""The Jobs list's filters as the address holds them: changed, excluded, shown (SPEC section 6)."""

import html
import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.permissions import Actor
from jobs.execution.dispatch import pause_project
from jobs.models import Agent, Job
from jobs.querysets import jobs as querysets
from projects.models import Project

URL = "/portal/jobs"


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture
def jobs(project: Project) -> list[Job]:
    made = []
    for slug, agent, effort in [
        ("se-work", "host-1", "max"), ("se-work", "host-2", "high"), ("qa-validate", "host-1", ""),
        ("changelog", "host-3", "medium"),
    ]:  # fmt: skip
        made.append(
            Job.objects.create(
                team=project.team, project=project, kind="workflow", workflow_slug=slug,
                label=slug, name=slug, agent_name=agent, effort_level=effort, status="failed",
                ticket_key="T-1",
            )
        )  # fmt: skip
    return made


def text_of(client: Client, query: str = "") -> str:
    return client.get(URL + query).content.decode()


def shown(text: str) -> list[int]:
    return [int(number) for number in re.findall(r'data-job="(\d+)"', text)]


def addresses(text: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'href="(/portal/jobs\?[^"]*)"', text)]


def keys(address: str) -> set[str]:
    return set(parse_qs(urlsplit(address).query))


def test_a_changed_filter_begins_at_the_first_page(
    as_user: Callable[[User], Client], viewer: User, project: Project, jobs: list[Job]
) -> None:
    """J7: no tab, select, chip or search takes the place in the list along."""
    for _ in range(60):
        Job.objects.create(
            team=project.team, project=project, kind="workflow", workflow_slug="se-work",
            label="x", name="x", agent_name="host-1", status="failed",
        )  # fmt: skip
    middle = jobs[0].pk + 30
    for cursor in ("after", "before"):
        text = text_of(as_user(viewer), f"?status=failed&workflow=se-work&{cursor}={middle}")
        page_links = {"after", "before"}
        pagers = [address for address in addresses(text) if keys(address) & page_links]
        assert pagers
        assert all({"status", "workflow"} <= keys(address) for address in pagers)
        tabs = re.search(r'<nav class="tabs".*?</nav>', text, re.DOTALL)[0]
        chips = re.search(r'<p class="filters-on">.*?</p>', text, re.DOTALL)[0]
        form = re.search(r'<form class="filter-form".*?</form>', text, re.DOTALL)[0]
        assert len(addresses(tabs)) >= 5
        assert len(addresses(chips)) == 3
        assert not any(keys(address) & page_links for address in addresses(tabs + chips))
        assert 'name="status" value="failed"' in form
        assert 'name="after"' not in form
        assert 'name="before"' not in form


@pytest.mark.parametrize(
    ("key", "value", "word", "without"),
    [("workflow", "se-work", "Not workflow: se-work", [3, 2]),
     ("agent", "host-1", "Not agent: host-1", [3, 1]),
     ("effort", "max", "Not effort: MAX", [3, 2, 1])],
)  # fmt: skip
def test_what_can_be_included_can_be_excluded(
    as_user: Callable[[User], Client], viewer: User, jobs: list[Job], key: str, value: str,
    word: str, without: list[int],
) -> None:  # fmt: skip
    """J8: one link turns the filter round, the next turns it back; the others stay."""
    client = as_user(viewer)
    included = text_of(client, f"?{key}={value}&status=failed&after=999999")
    assert "not this<" in included
    turn = next(a for a in addresses(included) if f"not_{key}" in keys(a))
    assert keys(turn) == {"status", f"not_{key}"}
    excluded = text_of(client, turn.removeprefix(URL))
    assert shown(excluded) == [jobs[number].pk for number in without]
    assert word in excluded
    assert f"{len(without)} jobs</span>" in excluded
    back = next(a for a in addresses(excluded) if keys(a) == {"status", key})
    assert shown(text_of(client, back.removeprefix(URL))) == shown(included)
    assert f'name="not_{key}" value="{value}"' in excluded  # the next select keeps it


def test_exclusions_combine_and_hold_for_exports_and_bulk(
    as_user: Callable[[User], Client], operator: User, jobs: list[Job]
) -> None:
    """J4, J8, J15"""
    client = as_user(operator)
    query = "?not_workflow=se-work&not_agent=host-3"
    assert shown(text_of(client, query)) == [jobs[2].pk]
    assert "running" in text_of(client, query)
    export = client.get(reverse("jobs:export") + query)
    lines = b"".join(export.streaming_content).decode().strip().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [str(jobs[2].pk)]
    confirm = client.get(
        reverse("jobs:bulk") + "?action=resend&all=1&f.not_workflow=se-work&f.not_agent=host-3"
    ).content.decode()
    assert "All 1 matching not workflow “se-work”, not agent “host-3”" in confirm
    nothing = text_of(client, "?not_workflow=changelog&workflow=changelog")
    assert "No job matches these filters" in nothing
    assert "Clear not workflow: changelog" in nothing


def test_an_unknown_effort_to_exclude_is_said(
    as_user: Callable[[User], Client], viewer: User, jobs: list[Job]
) -> None:
    assert "bogus is not one of the available choices" in text_of(
        as_user(viewer), "?not_effort=bogus"
    )


def test_a_pending_row_says_why_it_waits(
    as_user: Callable[[User], Client], viewer: User, project: Project, other_project: Project,
    django_assert_max_num_queries: Callable[..., object],
) -> None:  # fmt: skip
    """D4: SPEC 1, "the row says why"; within the list's budget and four queries more."""
    agent = Agent.objects.create(team=project.team, name="host-1", is_draining=True)
    for number in range(12):
        Job.objects.create(
            team=project.team, project=project, kind="workflow", workflow_slug="se-work",
            label="x", name="x", status="pending", agent=agent, agent_name=agent.name,
            scheduled_for=None if number else "2031-05-01T08:00Z",
        )  # fmt: skip
    client = as_user(viewer)
    text_of(client)
    with django_assert_max_num_queries(13):
        text = text_of(client)
    places = re.findall(r"Place (\d+): host-1 is draining and takes no more jobs\.", text)
    assert places == [str(n) for n in range(11, 0, -1) for _ in range(2)]  # and as its title
    assert "Scheduled for 01 May 2031, 08:00 UTC." in text
    pause_project(project, Actor(user=viewer), reason="<b>upgrade</b>")
    text = text_of(client)
    assert text.count(f"{project.name} was paused by {viewer.name}") == 24
    assert "&lt;b&gt;upgrade&lt;/b&gt;" in text
    assert "<b>upgrade" not in text


def test_without_javascript_an_act_returns_to_the_same_list_and_row(
    as_user: Callable[[User], Client], operator: User, jobs: list[Job]
) -> None:
    """J6, X10: with its filters and a message of what happened; also from a patched row."""
    job = jobs[0]
    Job.objects.filter(pk=job.pk).update(status="pending", planned_count=0)
    client = as_user(operator)
    query = "?workflow=se-work&not_agent=host-2"
    rows = [text_of(client, query)]
    rows.append(client.get(f"{URL}/updates{query}&rows={job.pk}&newest=1").content.decode())
    for text in rows:
        found = re.search(rf'href="(/portal/jobs/{job.pk}/cancel\?next=[^"]*)"', text)
        assert found
        form = client.get(found[1]).content.decode()
        next_url = html.unescape(re.search(r'name="next" value="([^"]*)"', form)[1])
        assert next_url == f"{URL}{query}#job-{job.pk}"
    answer = client.post(f"{URL}/{job.pk}/cancel", {"next": next_url}, follow=True)
    assert answer.redirect_chain[0][0] == next_url
    assert f"Job #{job.pk} is cancelled." in answer.content.decode()


def test_keys_and_operators_find_what_they_press(
    as_user: Callable[[User], Client], operator: User, viewer: User, project: Project
) -> None:
    """X7, J17: r, n and p press links of the page; whoever may act is led to what was done."""
    jobs = [
        Job.objects.create(
            team=project.team, project=project, kind="workflow", label="x", name="x",
            status="failed",
        )
        for _ in range(60)
    ]  # fmt: skip
    text = text_of(as_user(operator), "?status=failed")
    assert re.search(r'id="older-jobs" rel="next" href="/portal/jobs\?status=failed&after=', text)
    assert re.search(r'data-refresh href="/portal/jobs\?status=failed"', text)
    assert f'href="{reverse("jobs:bulk_actions")}"' in text
    assert 'rel="prev"' in text_of(as_user(operator), f"?after={jobs[30].pk}")
    assert reverse("jobs:bulk_actions") not in text_of(as_user(viewer))


@pytest.mark.parametrize("most", [300, 2])
def test_an_exclusion_by_index_gives_what_it_says(
    project: Project, other_project: Project, jobs: list[Job], monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:  # fmt: skip
    """J8, J12: also jobs without a value, and where there are too many values to name."""
    monkeypatch.setattr(querysets, "MOST_VALUES", most)
    for team_project in (project, other_project):
        Job.objects.create(
            team=team_project.team, project=team_project, kind="build", label="x", name="x",
            status="failed",
        )  # fmt: skip
    own = Job.objects.filter(team_id=project.team_id)
    for column in ("workflow_slug", "agent_name"):
        for value in ("se-work", "host-1", "nobody has it"):
            found = own.except_value(project.team_id, column, value)
            assert set(found) == set(own.exclude(**{column: value})), (column, value)
