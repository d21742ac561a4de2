"""Kinds of step that this worker does not have: the job is for another one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from jobs.execution import claims
from jobs.models import Job, Worker
from jobs.queueing import pending_reason
from projects.models import Contact, Pipeline
from projects.steps import registry
from tests.jobs.engine_rig import launch, recount, work_off

pytestmark = pytest.mark.django_db

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]
NEWER: list[dict[str, Any]] = [
    {"name": "score", "kind": "newer", "config": {}},
    {"name": "end", "kind": "outcome", "config": {"outcome": "ok"}},
]


def told(job: Job) -> list[str]:
    return list(job.events.filter(kind="job.kind_missing").values_list("message", flat=True))


def worker_with(*kinds: str) -> None:
    Worker.objects.create(name=f"w-{len(kinds)}", host="h", pid=1, step_kinds=list(kinds))


def test_a_job_is_left_to_the_worker_that_has_its_kinds(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F23: passed over without a word and without a claim, however many there are."""
    monkeypatch.setattr(claims, "LOOKED_AT", 2)
    make_contacts(1)
    worker_with("newer", "outcome")
    spinner = make_spinner(NEWER)
    newer = [launch(spinner) for _ in range(5)]
    plain = launch(make_spinner(slug="plain"))
    work_off(plain)
    assert plain.status == "completed"
    for job in newer:
        job.refresh_from_db()
        assert (job.status, job.started_at, told(job)) == ("pending", None, [])
    assert pending_reason(newer[0]).startswith("Next to start")


def test_a_kind_that_no_worker_has_is_told_and_fails_the_job_after_a_while(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    """F23: a rollout has ten minutes; then it says what is missing."""
    make_contacts(2)
    worker_with("outcome")
    job = launch(make_spinner(NEWER))
    work_off(job)
    work_off(job)
    assert job.status == "pending"
    assert len(told(job)) == 1
    assert "no worker that is up has the kind 'newer'" in told(job)[0]
    assert "has the step kind 'newer'; place 1" in pending_reason(job)

    Job.objects.filter(pk=job.pk).update(created_at=Now() - timedelta(minutes=12))
    job.events.filter(kind="job.kind_missing").update(at=Now() - timedelta(minutes=11))
    work_off(job)
    assert (job.status, job.error_type) == ("failed", "configuration")
    assert "Step 1 (score)" in job.error
    recount(job)


def test_the_kind_comes_while_the_job_waits(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    """F23."""
    make_contacts(2)
    job = launch(make_spinner(NEWER))
    work_off(job)
    assert job.status == "pending"
    registry.register("newer")(lambda record, config: {"score": 1})
    try:
        work_off(job)
    finally:
        registry.unregister("newer")
    assert (job.status, job.done_count) == ("completed", 2)
    recount(job)
