"""Any Celery task of a team's own can be a job that people see, follow and cancel.

    @shared_task(base=TrackedTask, bind=True, label="Nightly export")
    def export(self, rows):
        for row in self.track(rows):
            write(row)
        return "all written"

    export.delay_in(project, rows=[1, 2, 3])

`delay_in` makes the job (pending) and sends the message when the transaction is committed. The
job runs, counts what `track` has passed, is completed with what the task returns, or failed with
what it raises. A cancel is a wish in the database; `track` and `progress` obey it at the next turn.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import Any, TypeVar

from celery import Task, current_app
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from accounts.permissions import SYSTEM, Actor
from jobs import events, reporting
from jobs.events import EventKind
from jobs.models import Job
from jobs.models.jobs import JobKind
from jobs.rounds import one_by_one
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus
from projects.models import Project

logger = logging.getLogger("spindle.tracked")

T = TypeVar("T")
HEADER = "spindle_job"
SECONDS_BETWEEN = 0.5  # writes of progress
OUTPUT_CHARS = 10_000
HEARTBEAT_SECONDS = 10
LOST_AFTER = timedelta(seconds=60)
SLICE = 100


class Cancelled(Exception):
    """People asked the task to stop. Let it pass, or catch it to tidy up and raise it again."""


class TrackedTask(Task):  # type: ignore[misc]
    """The base of a tracked task. `label` names its jobs, `agent_name` who is shown to do them."""

    abstract = True
    label = ""
    agent_name = "worker-pool"
    acks_late = True

    def delay_in(
        self,
        project: Project,
        *,
        actor: Actor = SYSTEM,
        total: int | None = None,
        launch_key: str | None = None,
        **kwargs: Any,
    ) -> Job:
        """A pending job, and the task's message once it is committed.

        `kwargs` are the task's own and are shown as the job's input. `total` is how many steps
        of progress it has; unless told, the length of what `track` is given. With the same
        `launch_key` a second call sends nothing and returns the first one's job.
        """
        label = self.label or str(self.name).rpartition(".")[2].replace("_", " ").capitalize()
        job, is_new = reporting.report(
            project, actor, kind=JobKind.TASK, label=label, agent_name=self.agent_name,
            input=kwargs, total_count=total or 0, launch_key=launch_key, source="task",
            options={"task": self.name},
        )  # fmt: skip
        if is_new:
            self.apply_async_on_commit(kwargs, job)
        return job

    def apply_async_on_commit(self, kwargs: dict[str, Any], job: Job) -> None:
        headers: dict[str, Any] = {HEADER: job.pk}

        def send() -> None:
            try:
                self.apply_async(kwargs=kwargs, headers=headers, retry=False)
            except Exception as error:  # noqa: BLE001 -- every transport has errors of its own
                logger.warning("The broker took no message (%s); the sweep sends it again.", error)

        transaction.on_commit(send)

    # In the worker -------------------------------------------------------------------------------

    @property
    def job_id(self) -> int | None:
        """The job of this call; None when the task was called without `delay_in`."""
        headers = getattr(self.request, "headers", None) or {}
        return headers.get(HEADER) or getattr(self.request, HEADER, None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        job_id = self.job_id
        if job_id is None:
            return self.run(*args, **kwargs)
        if not self._begin(job_id):
            return None
        with _heartbeat(job_id):
            return self._run_for(job_id, args, kwargs)

    def _run_for(self, job_id: int, args: Any, kwargs: Any) -> Any:
        try:
            answer = self.run(*args, **kwargs)
        except Cancelled:
            reporting.end(job_id, SYSTEM, JobStatus.CANCELLED)
            return None
        except Exception as error:
            reporting.end(
                job_id, SYSTEM, JobStatus.FAILED, error_type="step_error",
                error=f"{type(error).__name__}: {error}"[:OUTPUT_CHARS],
            )  # fmt: skip
            raise
        text = "" if answer is None else str(answer)[:OUTPUT_CHARS]
        reporting.end(job_id, SYSTEM, JobStatus.COMPLETED, output=text)
        return answer

    def _begin(self, job_id: int) -> bool:
        """False where it was cancelled before, or another message of it came first."""
        self._written = time.monotonic()
        began = Job.objects.filter(
            pk=job_id, status=JobStatus.PENDING, cancel_requested_at=None
        ).update(status=JobStatus.RUNNING, started_at=Now(), last_heartbeat_at=Now())
        if began:
            events.emit(job_id, EventKind.STARTED, f"Started by {self.request.hostname}.")
        return bool(began)

    def track(self, things: Iterable[T], *, total: int | None = None) -> Iterator[T]:
        """Pass the things on one by one, counting each when the next is asked for."""
        if total is None and isinstance(things, Sized):
            total = len(things)
        self.progress(0, total=total)
        for count, thing in enumerate(things, start=1):
            yield thing
            self.progress(count)

    def progress(self, done: int, *, total: int | None = None) -> None:
        """Say how many are done; written twice a second at most. Raises Cancelled when asked to stop."""
        job_id = self.job_id
        if job_id is None:
            return
        now = time.monotonic()
        if total is None and now - self._written < SECONDS_BETWEEN:
            return
        self._written = now
        fields: dict[str, Any] = {"last_heartbeat_at": Now()}
        if total is not None:
            fields |= {"total_count": total, "planned_count": total, "done_count": min(done, total)}
        running = Job.objects.filter(pk=job_id, status__in=ACTIVE_JOB_STATUSES)
        if total is None:
            running.filter(total_count__lt=done).update(total_count=done, planned_count=done)
            fields["done_count"] = done
        if not running.filter(cancel_requested_at=None).update(**fields):
            raise Cancelled
        events.announce(job_id)


@contextlib.contextmanager
def _heartbeat(job_id: int) -> Iterator[None]:
    """A sign of life beside the task, also while it says nothing of its progress."""
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(DatabaseError):
                Job.objects.filter(pk=job_id).update(last_heartbeat_at=Now())
            connection.close()

    thread = threading.Thread(target=beat, name="tracked-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(1)


def sweep_tasks() -> None:
    """Tasks whose worker was lost have failed; those whose message was lost are sent again."""
    tasks = Job.objects.filter(kind=JobKind.TASK)
    silent_since = Now() - LOST_AFTER
    lost = (
        tasks.active()
        .annotate(heard_at=Coalesce("last_heartbeat_at", "started_at", "created_at"))
        .filter(status=JobStatus.RUNNING, heard_at__lt=silent_since)
    )
    one_by_one(list(lost.values_list("pk", flat=True)), _lose, what="A lost task")
    waiting = tasks.active().filter(
        Q(last_claimed_at=None) | Q(last_claimed_at__lt=silent_since),
        status=JobStatus.PENDING, created_at__lt=silent_since,
    )  # fmt: skip
    longest_first = waiting.order_by(F("last_claimed_at").asc(nulls_first=True), "pk")
    for job in list(longest_first.only("options", "input")[:SLICE]):
        if not waiting.filter(pk=job.pk).update(last_claimed_at=Now()):
            continue
        try:
            current_app.send_task(
                job.options["task"], kwargs=job.input, headers={HEADER: job.pk}, retry=False
            )
        except Exception as error:  # noqa: BLE001 -- every transport has errors of its own
            logger.warning("The broker took no message (%s); the sweep sends it again.", error)


def _lose(job_id: int) -> bool:
    return reporting.end(
        job_id, SYSTEM, JobStatus.FAILED, error_type="worker_lost",
        error="The task's worker has not been heard of for a minute.",
    )  # fmt: skip


__all__ = ["Cancelled", "TrackedTask", "sweep_tasks"]
