"""Every route × every kind of visitor, against a declared table (S01, X1, X3).

A new route needs a row in tests/access_matrix.py: `"namespace:name": (GET, POST)`, each the
lowest role that may, "open" for everybody, "signed-in" for any account, or None where the
method is not served. Outsiders get 404, too low a role 403, signed-out people the sign-in page.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import Role
from tests.access_matrix import MATRIX

OURS = {"accounts", "projects", "jobs", "api"}
ROLES = Role.values


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


def arguments(pattern: URLPattern, project: Any) -> dict[str, Any]:
    """Values for a route's parts: the cast's project and team, ids of nothing."""
    team, slug = project.team.slug, project.slug
    is_workflow = "workflows" in str(pattern.pattern)
    known = {"slug": slug, "team": team, "token": "no-such-token"}
    known["owner"] = team if is_workflow else slug
    known["pipeline"] = "a-workflow" if is_workflow else "a-spinner"
    return {name: known.get(name, 987654321) for name in pattern.pattern.converters}


ALL = sorted({name: pattern for name, pattern, _ in routes()}.items())


def test_every_route_has_a_row_and_every_row_a_route():
    assert {name for name, _ in ALL} == set(MATRIX)


@pytest.fixture
def visitors(as_user, viewer, operator, builder, admin_member, outsider):
    return {
        "viewer": as_user(viewer), "operator": as_user(operator), "builder": as_user(builder),
        "admin": as_user(admin_member), "outsider": as_user(outsider),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "pattern"), ALL, ids=[name for name, _ in ALL])
def test_route(name, pattern, project, visitors, client, make_spinner):
    from django.urls import reverse

    make_spinner(slug="a-spinner")
    make_spinner(slug="a-workflow", kind="workflow", project=None, team=project.team)
    kwargs = arguments(pattern, project)
    url = reverse(name, kwargs=kwargs)
    is_team_route = bool({"slug", "team", "owner"} & set(kwargs))
    for method, lowest in zip(("get", "post"), MATRIX[name], strict=True):
        if lowest is None or lowest == "open":
            continue
        anonymous = getattr(client, method)(url)
        assert anonymous.status_code in {302, 401, 403}, f"signed out: {anonymous.status_code}"
        if anonymous.status_code == 302:
            assert "/accounts/login/" in anonymous["Location"]
        if lowest == "signed-in" or not is_team_route:
            continue
        assert getattr(visitors["outsider"], method)(url).status_code == 404
        for role in ROLES:
            status = getattr(visitors[role], method)(url).status_code
            if ROLES.index(role) < ROLES.index(lowest):
                assert status == 403, f"{method} as {role}: {status}"
            else:
                assert status != 403, f"{method} as {role}: {status}"
                assert status < 500
