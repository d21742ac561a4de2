"""`portal`: a fresh portal of this test's own, with the whole cast (team, project, roles) in it.

Parametrise it with keyword arguments of Portal:
`@pytest.mark.parametrize("portal", [{"workers": 2}], indirect=True)`.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.processes.portal import Portal, Template


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
