"""`portal`: a fresh portal of this test's own, with the whole cast (team, project, roles) in it.

Parametrise it with keyword arguments of Portal:
`@pytest.mark.parametrize("portal", [{"workers": 2}], indirect=True)`.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes.portal import Portal, Template

# Not skipped but not there: SQLite has no server that could go away.
collect_ignore = (
    [] if os.environ.get("DATABASE_URL", "").startswith("postgres") else ["test_database_away.py"]
)


@pytest.fixture
def portal(
    request: pytest.FixtureRequest, portal_template: Template, django_db_blocker: Any
) -> Iterator[Portal]:
    options = getattr(request, "param", {})
    with (
        django_db_blocker.unblock(),
        Portal(portal_template, **options) as portal,
        portal.attached(),
    ):
        yield portal


@pytest.fixture
def db(portal: Portal) -> None:
    """The cast's fixtures ask for a database: here it is the portal's."""
