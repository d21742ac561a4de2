"""Two people, or a person and a worker, at the same job in the same instant."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from accounts.permissions import SYSTEM, Actor
from jobs.execution import claims, dispatch, engine
from jobs.execution.selection import Selection
from jobs.models import Job, Record
from projects.models import Contact, Pipeline

pytestmark = pytest.mark.django_db(transaction=True)
RACES = 25


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each act returned, or the code with which it was refused."""
    together = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            together.wait(timeout=30)
            return act()
        except dispatch.Refused as refusal:
            return refusal.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [one.result() for one in [pool.submit(run, act) for act in acts]]


@pytest.fixture
def make_job(
    make_spinner: Callable[..., Pipeline], make_contacts: Callable[..., list[Contact]]
) -> Callable[[], Job]:
    make_contacts(1)
    spinner = make_spinner()
    return lambda: dispatch.dispatch_spinner(spinner, SYSTEM, selection=Selection())


def test_two_people_who_resend_at_once_make_one_job(
    make_job: Callable[[], Job], operator: User, builder: User
) -> None:
    """D16: one makes it, the other is told so; again and again."""
    for _ in range(RACES):
        job = make_job()
        dispatch.cancel(job, Actor(user=operator))
        found = at_once(
            lambda job=job: dispatch.resend(job, Actor(user=operator), effort="max"),
            lambda job=job: dispatch.resend(job, Actor(user=builder), effort="medium"),
        )
        (one, one_is_new), (other, other_is_new) = found
        assert one.pk == other.pk
        assert sorted((one_is_new, other_is_new)) == [False, True]
        assert Job.objects.filter(resend_of=job).count() == 1
        dispatch.cancel(Job.objects.get(pk=one.pk), Actor(user=operator))


def test_a_cancel_and_a_claim_at_once_leave_no_job_half_begun(
    make_job: Callable[[], Job], operator: User, settings: Any
) -> None:
    """D10, D11: a job that was cancelled first never starts, one that was claimed first stops."""
    settings.FORCE_STOP_AFTER_SECONDS = 0
    for _ in range(RACES):
        job = make_job()
        cancelled, claimed = at_once(
            lambda job=job: dispatch.cancel(job, Actor(user=operator)),
            lambda: claims.claim_next("w"),
        )
        job.refresh_from_db()
        assert job.cancel_requested_by == operator
        assert cancelled.is_cancelling == (claimed is not None)
        if claimed is None:
            assert (job.status, job.started_at) == ("cancelled", None)
        else:
            assert (job.status, job.is_cancelling) == ("running", True)
            dispatch.force_stop(job, Actor(user=operator))
        engine.run_here()
        assert not Record.objects.filter(job=job, status="completed").exists()


def test_a_cancel_at_the_very_end_keeps_the_result_or_stops_it(
    make_job: Callable[[], Job], operator: User
) -> None:
    """D13: whoever is first counts, and the other is told; the totals close either way."""
    seen = set()
    for _ in range(RACES):
        job = make_job()
        told, _ = at_once(
            lambda job=job: dispatch.cancel(job, Actor(user=operator)),
            engine.run_here,
        )
        engine.run_here()
        job.refresh_from_db()
        seen.add(job.status)
        if told == "ALREADY_ENDED":
            assert (job.status, job.done_count, job.cancel_requested_at) == ("completed", 1, None)
        else:
            assert job.is_final
            assert job.cancel_requested_by == operator
        assert job.done_count + job.cancelled_count == job.total_count
    assert seen <= {"completed", "cancelled"}
