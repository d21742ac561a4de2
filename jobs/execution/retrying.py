"""Once more: a job's resend, and the retry of failed records from the step that failed."""

from collections import Counter

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Max, When
from django.db.models.functions import Now

from accounts.permissions import Actor
from jobs import events
from jobs.events import EventKind
from jobs.execution import bulk, counting, hints, stalls
from jobs.execution.errors import PRUNED, Refused
from jobs.execution.launching import launch, published_version
from jobs.models import Batch, Job, Record
from jobs.models.jobs import REPORTED_KINDS
from jobs.statuses import JobStatus, RecordStatus

RESENDABLE = (JobStatus.FAILED, JobStatus.CANCELLED)
SLICE = 500  # records a batch, as at launch


def resend(job: Job, actor: Actor, *, effort: str | None = None) -> tuple[Job, bool]:
    """A new job like this one, linked to it: (job, True), or the one made before: (job, False).

    The one-to-one `resend_of` makes the database decide between two at once. The new job runs
    the version its pipeline has now. Raises Refused NOT_FAILED, NOT_PUBLISHED, PLAN_LIMIT.
    """
    if earlier := Job.objects.filter(resend_of=job).first():
        return earlier, False
    if job.status not in RESENDABLE:
        raise Refused("Only a failed or cancelled job can be resent.", code="NOT_FAILED")
    if job.kind in REPORTED_KINDS:
        raise Refused("Another program does this work: start it again there.", code="NOT_FAILED")
    if job.pipeline is None:
        raise Refused("What this job ran has been deleted.", code="NOT_PUBLISHED")
    version = published_version(job.pipeline)
    copy = Job(
        kind=job.kind, project=job.project, total_count=job.total_count, options=job.options,
        selection=job.selection, planning_ceiling=job.planning_ceiling, name=job.name,
        label=job.label, input=job.input, ticket_url=job.ticket_url, ticket_key=job.ticket_key,
        agent=job.agent, agent_name=job.agent_name, external_id=job.external_id,
        slack_channel_id=job.slack_channel_id, slack_thread_ts=job.slack_thread_ts,
    )  # fmt: skip
    try:
        with transaction.atomic():
            made = launch(
                copy, job.pipeline, version, actor,
                effort=job.effort_level if effort is None else effort,
                launch_key=None, source=None, resend_of=job,
            )  # fmt: skip
            events.emit(
                job.pk, EventKind.RESENT, f"Resent by {actor.name} as job #{made.pk}.",
                actor=actor, payload={"job": made.pk},
            )  # fmt: skip
    except IntegrityError:
        if earlier := Job.objects.filter(resend_of=job).first():
            return earlier, False
        raise
    return made, True


def retry_failed(
    job: Job, actor: Actor, *, record_ids: list[int] | None = None, cause: str | None = None
) -> int:
    """Run failed records again from their failed step; how many. Finished steps never run again."""
    failed = Record.objects.filter(job_id=job.pk, status=RecordStatus.FAILED)
    if record_ids is not None:
        failed = failed.filter(pk__in=record_ids)
    if cause is not None:
        failed = failed.filter(cause=cause)
    with transaction.atomic():
        _reopen(job)
        ids = list(failed.order_by("position").values_list("pk", flat=True))
        count = 0
        for start in range(0, len(ids), SLICE):
            count += requeue(job, ids[start : start + SLICE], from_status=RecordStatus.FAILED)
        if not count:
            raise Refused("No failed record is left to retry.", code="NOT_FAILED")
        words = f"{count:,} failed record{'s' if count != 1 else ''}"
        events.emit(
            job.pk, EventKind.RETRIED, f"{actor.name} retried {words} from the failed step.",
            actor=actor, payload={"count": count, "cause": cause or ""},
        )  # fmt: skip
        hints.hint_on_commit()
    job.refresh_from_db()
    return count


def retry_record(record: Record, actor: Actor) -> Record:
    """One failed or uncertain record again, from the step that failed.

    An uncertain step keeps its key, so that a receiver that honours keys acts once at most; a
    step that surely failed is a new act with a new key (`-rN`).
    """
    was = record.status
    if was not in (RecordStatus.FAILED, RecordStatus.UNCERTAIN):
        raise Refused("Only a failed or uncertain record can be retried.", code="NOT_FAILED")
    with transaction.atomic():
        reopened = _reopen(record.job)
        if not requeue(record.job, [record.pk], from_status=was):
            raise Refused("Somebody else was first: look at it again.", code="NOT_FAILED")
        if reopened:
            events.emit(
                record.job_id, EventKind.RESUMED, "At work again.", payload={"phase": "execution"}
            )
        events.emit(
            record.job_id, EventKind.RECORD_RETRIED,
            f"{actor.name} retried {record.contact_label} from step {record.error_step or 1}.",
            actor=actor, payload={"record": record.pk, "was": was},
        )  # fmt: skip
        hints.hint_on_commit()
    record.refresh_from_db()
    return record


def _reopen(job: Job) -> bool:
    """(r) of the state diagram: a finished job runs again. Cancelled ones are resent instead.

    False: it was running.
    """
    now_running = Job.objects.filter(
        pk=job.pk, status__in=(JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.WAITING),
        journeys_pruned_at=None,
    ).update(
        status=JobStatus.RUNNING, completed_at=None, error="", error_type="", error_step="",
        output="", stop_error="", started_at=Case(
            When(started_at=None, then=Now()), default=F("started_at")
        ),
        **stalls.at_work_again(),
    )  # fmt: skip
    if not now_running:
        status, cancelling, pruned_at = Job.objects.values_list(
            "status", "cancel_requested_at", "journeys_pruned_at"
        ).get(pk=job.pk)
        if pruned_at:
            raise Refused(PRUNED, code="PRUNED")
        if status == JobStatus.CANCELLED or cancelling:
            raise Refused("The job was cancelled: resend it instead.", code="NOT_ACTIVE")
    return bool(now_running)


def requeue(job: Job, record_ids: list[int], *, from_status: str) -> int:
    """Put records of one status into a new batch, due now; the counter moves along."""
    number = 1 + (Batch.objects.filter(job_id=job.pk).aggregate(last=Max("number"))["last"] or 0)
    bulk.insert_batches(
        job_id=job.pk, team_id=job.team_id, first_number=number, record_counts=[len(record_ids)],
    )  # fmt: skip
    batch_id = Batch.objects.values_list("pk", flat=True).get(job_id=job.pk, number=number)
    changes: dict[str, object] = {
        "status": RecordStatus.PENDING, "batch_id": batch_id, "completed_at": None,
        "error": "", "error_type": "", "cause": "", "intent_step": 0, "intent_at": None,
        "next_step": Case(When(error_step__gt=0, then=F("error_step")), default=F("next_step")),
        "error_step": 0, "outcome": "", "outcome_metadata": {},
    }  # fmt: skip
    if from_status == RecordStatus.FAILED:
        changes["resend_number"] = F("resend_number") + 1
    count = Record.objects.filter(pk__in=record_ids, job_id=job.pk, status=from_status).update(
        **changes
    )
    if not count:
        Batch.objects.filter(pk=batch_id).delete()
        return 0
    Batch.objects.filter(pk=batch_id).update(record_count=count)
    counting.move(job.pk, Counter({from_status: -count}))
    return count
