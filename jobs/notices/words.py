"""What a notice says: one sentence, the same on the page, in a mail's subject and in Slack.

Names and counts alone: no input, no raw error, so that nothing private leaves the portal (X5).
"""

from django.conf import settings
from django.urls import reverse

from jobs.failures import explain
from jobs.models import Delivery, Notice
from jobs.models.jobs import JobKind
from jobs.models.notices import Channel, DeliveryStatus
from jobs.notices.making import is_a_failure
from jobs.statuses import JobStatus


def is_failure(notice: Notice) -> bool:
    return is_a_failure(notice.status, notice.failed_count, notice.uncertain_count)


def headline(notice: Notice) -> str:
    """ "Renewal reminder failed — 12 of 5,000 records"; needs the notice's job."""
    job = notice.job
    name = f"{job.label} ({job.ticket_key})" if job.ticket_key else job.label
    counts = _counts(notice) if job.kind == JobKind.SPINNER else ""
    return f"{name} {_verb(notice)}" + (f" — {counts}" if counts else "")


def _verb(notice: Notice) -> str:
    if notice.status == JobStatus.COMPLETED:
        return "completed with failures" if is_failure(notice) else "completed"
    return "failed" if notice.status == JobStatus.FAILED else "was cancelled"


def _counts(notice: Notice) -> str:
    total = f"{notice.total_count:,} record{'' if notice.total_count == 1 else 's'}"
    if notice.status == JobStatus.COMPLETED and not is_failure(notice):
        return total
    if notice.status != JobStatus.CANCELLED and is_failure(notice):
        parts = []
        if notice.failed_count:
            # "failed — 12 of 5,000 records", but "completed with failures — 12 of … failed".
            word = "" if notice.status == JobStatus.FAILED else " failed"
            parts.append(f"{notice.failed_count:,} of {total}{word}")
        if notice.uncertain_count:
            of = "" if parts else f" of {total}"
            parts.append(f"{notice.uncertain_count:,}{of} uncertain")
        if parts:
            return ", ".join(parts)
    return f"{notice.done_count:,} of {total} done"


def reason(notice: Notice) -> str:
    """What went wrong in plain words, for a job that failed and stayed so. Never its raw error."""
    job = notice.job
    is_so = notice.status == JobStatus.FAILED and job.status == JobStatus.FAILED
    return explain(job.error_type).explanation if is_so else ""


def job_link(notice: Notice) -> str:
    return settings.BASE_URL + reverse("jobs:detail", args=[notice.job_id])


def page_link(name: str) -> str:
    return settings.BASE_URL + reverse(name)


def deliveries(notice: Notice) -> list[tuple[str, str]]:
    """(kind, sentence) of each way a notice took out of the portal; kind is "ok", "wait" or "bad"."""
    return [_delivery(delivery) for delivery in notice.deliveries.all()]


def _delivery(delivery: Delivery) -> tuple[str, str]:
    name = "E-mail" if delivery.channel == Channel.EMAIL else "Slack"
    if delivery.status == DeliveryStatus.SENT:
        return "ok", f"{name}: sent"
    if delivery.status in (DeliveryStatus.PENDING, DeliveryStatus.SENDING):
        again = f", tried {delivery.attempt_count} times: {delivery.error}"
        return "wait", f"{name}: on its way" + (again if delivery.error else "")
    return "bad", f"{name}: {delivery.get_status_display().lower()}. {delivery.error}"
