"""Every route × every kind of visitor, against a declared table (S01, X1, X3).

A new route needs a row in tests/access_matrix.py: `"namespace:name": (GET, POST)`, each the
lowest role that may, "open" for everybody, "signed-in" for any account, or None where the
method is not served. Outsiders get 404, too low a role 403, signed-out people the sign-in page.

The addresses hold ids of real rows, and every id is also tried under the other team's address.
A route whose row is of a kind not known yet needs a line in OBJECTS.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from accounts import membership, tokens
from accounts.models import Role, User
from accounts.permissions import Actor
from jobs.models import Agent, BulkAction, Job
from projects.models import ContactImport, Project, SavedFilter, Secret
from tests.access_matrix import MATRIX
from tests.jobs.engine_rig import run_spinner

OURS = {"accounts", "projects", "jobs", "api"}
ROLES = Role.values

# Which row the id in a route's address is of: the longest beginning of its name counts.
OBJECTS = {
    "accounts:member_act": "membership",
    "accounts:invitation_revoke": "invitation",
    "accounts:token_revoke": "token",
    "api:": "job",
    "api:agent": "agent",
    "api:build": "build",
    "api:run": "run",
    "jobs:": "job",
    "jobs:agent": "agent",
    "jobs:bulk": "bulk",
    "projects:contact": "contact",
    "projects:contact_import": "import",
    "projects:saved_filter_delete": "filter",
    "projects:secret_delete": "secret",
}
IDS = {"job_id": "job", "record_id": "record", "contact_id": "contact"}
SCOPES = {"slug", "team", "owner"}
# What a request must hold to be more than "not found".
SENT = {"jobs:bulk": {"action": "cancel"}}


def routes(resolver: Any = None, namespace: str = "") -> Iterator[tuple[str, URLPattern, str]]:
    """(qualified name, pattern, whole route) of every URL of ours."""
    resolver = resolver or get_resolver()
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            inner = entry.namespace or namespace
            if inner in OURS or entry.namespace is None:
                yield from routes(entry, inner)
        elif namespace in OURS:
            yield f"{namespace}:{entry.name}", entry, str(entry.pattern)


ALL = list(
    {(name, str(pattern.pattern)): (name, pattern) for name, pattern, _ in routes()}.values()
)


def test_every_route_has_a_row_and_every_row_a_route():
    assert {name for name, _ in ALL} == set(MATRIX)


@pytest.fixture
def make_world(make_spinner, make_contacts) -> Callable[[Project, User, User], dict[str, Any]]:
    def make(project: Project, admin: User, member: User) -> dict[str, Any]:
        """One row of everything a route may name: {kind: id}."""
        team, actor = project.team, Actor(user=admin)
        contact = make_contacts(1, project=project)[0]
        spinner = make_spinner(project=project, team=team, slug="a-pipeline")
        make_spinner(kind="workflow", project=None, team=team, slug="a-pipeline")
        job = run_spinner(spinner, actor)
        rows = {
            "contact": contact,
            "job": job,
            "record": job.records.get(),
            "build": Job.objects.create(team=team, project=project, kind="build", label="B"),
            "run": Job.objects.create(team=team, project=project, kind="run", label="R"),
            "membership": team.memberships.get(user=member),
            "invitation": membership.invite(team, actor, email="x@example.com", role="viewer")[0],
            "token": tokens.issue(team, actor, name="CI", role="viewer", expires_at=None)[0],
            "secret": Secret.objects.create(team=team, name="KEY", ciphertext=b""),
            "import": ContactImport.objects.create(project=project, file_name="a.csv"),
            "filter": SavedFilter.objects.create(project=project, name="All"),
            "agent": Agent.objects.create(team=team, name="agent-1"),
            "bulk": BulkAction.objects.create(
                kind="cancel", actor=admin, team_ids=[team.pk], launch_key=f"key-{team.pk}",
                finished_at=timezone.now(),
            ),
        }  # fmt: skip
        return {kind: row.pk for kind, row in rows.items()}

    return make


def address(name: str, pattern: URLPattern, project: Project, ids: dict[str, Any]) -> str:
    kind = max((start for start in OBJECTS if name.startswith(start)), key=len, default="")
    known = {
        "slug": project.slug, "team": project.team.slug, "pipeline": "a-pipeline", "number": 1,
        "token": "no-such-token", "pk": ids.get(OBJECTS.get(kind, "")),
        "owner": project.team.slug if "workflows" in str(pattern.pattern) else project.slug,
        **{part: ids[kind] for part, kind in IDS.items()},
    }  # fmt: skip
    missing = [part for part in pattern.pattern.converters if known.get(part) is None]
    assert not missing, f"{name}: say in tests/test_access_matrix.py what {missing} may be"
    return reverse(name, kwargs={part: known[part] for part in pattern.pattern.converters})


def status_of(client: Client, method: str, url: str, sent: dict[str, str] | None = None) -> int:
    """The answer's status; what the request wrote is taken back."""
    with transaction.atomic():
        response = getattr(client, method)(url, sent or {})
        transaction.set_rollback(True)
    if response.status_code == 302 and "/accounts/login/" in response["Location"]:
        return 401
    return response.status_code


def test_every_route_opens_to_whom_it_should_and_to_nobody_else(
    make_world, as_user, client, project, other_project, admin_member, builder, operator, viewer,
    outsider,
):  # fmt: skip
    ids = make_world(project, admin_member, viewer)
    foreign_ids = make_world(other_project, outsider, outsider)
    users = dict(zip(ROLES, (viewer, operator, builder, admin_member), strict=True))
    members = {role: as_user(user) for role, user in users.items()}
    stranger = as_user(outsider)
    for visitor in (client, stranger, *members.values()):
        visitor.raise_request_exception = False
    wrong = []

    def expect(who: str, status: int, *, is_right: bool) -> None:
        if not is_right:
            wrong.append(f"{method.upper()} {name} as {who}: {status}")

    for name, pattern in ALL:
        parts = set(pattern.pattern.converters)
        url = address(name, pattern, project, ids)
        for method, lowest in zip(("get", "post"), MATRIX.get(name, ("?", "?")), strict=True):
            if lowest is None:
                expect("admin", s := status_of(members["admin"], method, url), is_right=s == 405)
                continue
            if lowest == "open":
                continue
            expect("nobody", s := status_of(client, method, url), is_right=s in {401, 403})
            if parts:
                expect("outsider", s := status_of(stranger, method, url), is_right=s == 404)
            for role, member in members.items():
                may = lowest == "signed-in" or ROLES.index(role) >= ROLES.index(lowest)
                s = status_of(member, method, url, SENT.get(name))
                # An empty POST may name nothing that could be done.
                refused = {401, 403, 404} if method == "get" else {401, 403}
                expect(role, s, is_right=s not in refused and s < 500 if may else s == 403)
            if parts & SCOPES and parts - SCOPES - {"pipeline", "number"}:
                swapped = address(name, pattern, project, foreign_ids)
                s = status_of(members["admin"], method, swapped)
                expect("admin with another team's id", s, is_right=s == 404)
    assert not wrong, "\n".join(wrong)
