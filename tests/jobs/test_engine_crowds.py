"""Many rows that cannot be helped never hide the one that can."""

from collections.abc import Callable

import pytest

from jobs.execution import claims
from jobs.models import Agent
from projects.models import Contact, Pipeline, Project
from tests.jobs.engine_rig import launch, work_off

pytestmark = pytest.mark.django_db

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]
MANY = claims.LOOKED_AT + 5


def test_a_run_goes_on_behind_many_that_wait_for_its_pool(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    """F22: pending jobs come first in turn; more of them than a claim looks at stopped it all."""
    make_contacts(2)
    spinner = make_spinner()
    running = launch(spinner)
    Agent.objects.update(capacity=1)
    claim = claims.claim_next("first")
    assert claim is not None
    claims.release(claim)
    waiting = [launch(spinner) for _ in range(MANY)]
    again = claims.claim_next("second")
    assert again is not None
    assert again.job_id == running.pk
    claims.release(again)
    assert claims.claim_next("third", without_jobs=[running.pk]) is None
    work_off(running)
    for job in (running, *waiting):
        job.refresh_from_db()
        assert job.status == "completed"


def test_another_team_begins_behind_many_that_have_no_agent(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, other_project: Project
) -> None:
    """F22: one team's draining pool is nobody else's concern."""
    make_contacts(1)
    spinner = make_spinner()
    for _ in range(MANY):
        launch(spinner)
    Agent.objects.update(is_draining=True)
    make_contacts(1, project=other_project)
    other = launch(make_spinner(project=other_project, slug="other"))
    claim = claims.claim_next("worker")
    assert claim is not None
    assert claim.job_id == other.pk
