"""Cancel at any moment of a run: what begins after it, and what the counts say."""

import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from accounts.permissions import Actor
from jobs.execution import journal
from jobs.execution.dispatch import cancel
from jobs.execution.errors import Refused
from jobs.models import Job
from projects.models import Contact, Pipeline
from tests.jobs.engine_rig import Outside, launch, outside, pipeline_with, recount, work_off

__all__ = ["outside"]

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]
pytestmark = pytest.mark.django_db
RUNS = 100  # on each profile


class Moment:
    """Cancels before the nth commit of a run; knows what was allowed to begin by then."""

    def __init__(self, job: Job, actor: Actor, nth: int, outside: Outside):
        self.job, self.actor, self.nth, self.outside = job, actor, nth, outside
        self.commits = 0
        self.allowed: set[int] = set()
        self.has_cancelled = False
        self.original = journal.commit

    def commit(self, claim: Any, program: Any, group: Any, number: int) -> bool:
        self.commits += 1
        if self.commits == self.nth:
            with contextlib.suppress(Refused):  # it had ended with the commit before
                cancel(self.job, self.actor)
                self.has_cancelled = True
        if not self.has_cancelled:
            self.allowed.update(row[0] for row in (*group.rows, *group.intents))
        return self.original(claim, program, group, number)


@pytest.mark.timeout(400)  # a hundred runs, also on a busy machine
def test_a_hundred_runs_are_cancelled_at_random_moments(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    operator: User,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    """F16: no effect whose intent came after the cancel begins; counts equal what was done."""
    chance = random.Random(16)  # the same moments each time
    make_contacts(12)
    spinner = make_spinner(pipeline_with("act"))
    began: set[int] = set()
    outside.before = lambda record: began.add(record.record_id)
    ends = set()
    monkeypatch.setattr("jobs.execution.executor.FEW", 5)
    for _ in range(RUNS):
        settings.BATCH_SIZE = chance.choice((4, 6, 12))  # its intents in rows or in the log
        settings.BATCHES_IN_FLIGHT = chance.choice((1, 4))
        began.clear()
        outside.keys.clear()
        job = launch(spinner)
        moment = Moment(job, Actor(user=operator), chance.randint(1, 8), outside)
        with monkeypatch.context() as patched:
            patched.setattr(journal, "commit", moment.commit)
            work_off(job)
        if moment.has_cancelled:
            assert began <= moment.allowed
        assert len(outside.keys) == job.done_count
        assert job.done_count + job.cancelled_count == 12, (
            moment.nth, moment.commits, moment.has_cancelled, job.status, settings.BATCH_SIZE,
            list(job.batches.values("status", "fence", "commit_number", "lease_owner")),
            list(job.events.values_list("message", flat=True)),
        )  # fmt: skip
        assert job.uncertain_count == 0
        ends.add((job.status, job.done_count))
        recount(job)
    assert len(ends) > 5, "the moments differ"
