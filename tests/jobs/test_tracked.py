"""Any Celery task as a job: progress, result, failure, cancel."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.permissions import Actor
from jobs import tracked
from jobs.execution import dispatch
from jobs.models import Job
from tests.tracked_app import tasks as tracked_tasks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def run_here(monkeypatch):
    """The worker's side runs in this process, through Celery's own call of a task."""

    def apply_async(self, args=(), kwargs=None, headers=None, **_):
        return self.apply(args=args, kwargs=kwargs, headers=headers)

    monkeypatch.setattr(tracked.TrackedTask, "apply_async", apply_async)
    tracked_tasks.written.clear()


@pytest.fixture(autouse=True)
def write_every_step(monkeypatch):
    monkeypatch.setattr(tracked, "SECONDS_BETWEEN", 0)


def facts_of(job: Job) -> tuple[str, int, int]:
    job.refresh_from_db()
    return job.status, job.done_count, job.total_count


def test_the_example_of_the_docs(project, operator):
    job = tracked_tasks.export.delay_in(project, actor=Actor(user=operator), rows=[1, 2, 3])
    assert facts_of(job) == ("completed", 3, 3)
    assert (job.label, job.output, job.input) == (
        "Nightly export", "3 rows written", {"rows": [1, 2, 3]},
    )  # fmt: skip
    assert tracked_tasks.written == [1, 2, 3]
    assert [e.kind for e in job.events.all()] == ["job.created", "job.started", "job.completed"]


def test_the_same_key_sends_one_task(project):
    first = tracked_tasks.export.delay_in(project, rows=[1], launch_key="night-1")
    again = tracked_tasks.export.delay_in(project, rows=[1], launch_key="night-1")
    assert (first.pk, tracked_tasks.written) == (again.pk, [1])


def test_a_task_that_raises_is_a_failed_job(project):
    job = tracked_tasks.fail_at_once.delay_in(project)
    assert facts_of(job)[0] == "failed"
    assert (job.label, job.error, job.error_type) == (
        "Fail at once", "ValueError: no such table", "step_error",
    )  # fmt: skip


def test_progress_is_seen_and_a_cancel_is_obeyed_at_the_next_turn(project, operator, monkeypatch):
    seen = []

    def on_each(job_id: int, thing: int) -> None:
        job = Job.objects.get(pk=job_id)
        seen.append((job.status, job.done_count, job.total_count))
        if thing == 2:
            dispatch.cancel(job, Actor(user=operator))

    monkeypatch.setattr(tracked_tasks, "on_each", on_each)
    job = tracked_tasks.look_at_progress.delay_in(project, count=5)
    assert seen == [("running", 0, 5), ("running", 1, 5), ("running", 2, 5)]
    assert facts_of(job) == ("cancelled", 2, 5)
    assert job.cancelled_count == 3
    assert "job.cancel_requested" in {e.kind for e in job.events.all()}


def test_a_job_cancelled_before_its_message_came_does_nothing(project, operator, monkeypatch):
    sent = []
    task = tracked_tasks.export
    monkeypatch.setattr(
        task, "apply_async_on_commit", lambda kwargs, job: sent.append((kwargs, job))
    )
    job = task.delay_in(project, rows=[1])
    dispatch.cancel(job, Actor(user=operator))
    task.apply_async(kwargs=sent[0][0], headers={tracked.HEADER: job.pk})
    assert (facts_of(job)[0], tracked_tasks.written) == ("cancelled", [])


def test_a_task_whose_worker_is_lost_fails_and_one_whose_message_is_lost_is_sent_again(
    project, monkeypatch
):
    task = tracked_tasks.export
    monkeypatch.setattr(task, "apply_async_on_commit", lambda kwargs, job: None)
    long_ago = timezone.now() - timedelta(minutes=5)
    gone, unsent = task.delay_in(project, rows=[1]), task.delay_in(project, rows=[2])
    Job.objects.filter(pk=gone.pk).update(
        status="running", started_at=long_ago, last_heartbeat_at=long_ago
    )
    Job.objects.filter(pk=unsent.pk).update(created_at=long_ago)
    sent = []
    monkeypatch.setattr(tracked.current_app, "send_task", lambda *a, **k: sent.append((a, k)))
    for _ in range(2):
        tracked.sweep_tasks()
    assert (facts_of(gone)[0], gone.error_type) == ("failed", "worker_lost")
    assert sent == [((task.name,), {
        "kwargs": {"rows": [2]}, "headers": {tracked.HEADER: unsent.pk}, "retry": False,
    })]  # fmt: skip


def test_called_plainly_it_is_an_ordinary_task():
    assert tracked_tasks.export([7]) == "1 rows written"
    assert not Job.objects.exists()
