"""How far a run is, how fast it goes, and when it is likely to end."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from jobs.models import Job, Record
from jobs.statuses import JobStatus

SPEED_WINDOW = timedelta(seconds=60)
SPEED_SAMPLE = 1_000
ENOUGH_RECORDS = 10
ENOUGH_SECONDS = 3


@dataclass(slots=True, frozen=True)
class Share:
    """One part of a run's records; the parts of a run add up to its total."""

    status: str  # the list's ?status= that shows exactly these records
    word: str
    count: int


def shares(job: Job) -> list[Share]:
    """Every record once: the counts always sum to `total_count` (SPEC section 8)."""
    return [
        Share("completed", "done", job.done_count),
        Share("failed", "failed", job.failed_count),
        Share("uncertain", "uncertain", job.uncertain_count),
        Share("waiting", "waiting", job.waiting_count),
        Share("skipped", "skipped", job.skipped_count),
        Share("cancelled", "cancelled", job.cancelled_count),
        Share("queued", "to do", job.remaining_count - job.waiting_count),
    ]


@dataclass(slots=True, frozen=True)
class Speed:
    """Records a second; None where there is not enough yet to tell."""

    now: float | None
    average: float | None
    ends_at: datetime | None


def speed_of(job: Job, now: datetime | None = None) -> Speed:
    """One query for a running job: the newest records that ended within a minute."""
    now = now or timezone.now()
    if job.started_at is None:
        return Speed(None, None, None)
    seconds = ((job.completed_at or now) - job.started_at).total_seconds()
    enough = job.finished_count >= ENOUGH_RECORDS and seconds >= ENOUGH_SECONDS
    average = job.finished_count / seconds if enough else None
    if job.status != JobStatus.RUNNING:
        return Speed(None, average, None)
    current = _speed_now(job, now) if enough else None
    to_do = job.remaining_count - job.waiting_count
    rate = average if current is None else current
    ends_at = now + timedelta(seconds=to_do / rate) if rate and to_do else None
    return Speed(current, average, ends_at)


def _speed_now(job: Job, now: datetime) -> float | None:
    since = max(now - SPEED_WINDOW, job.started_at or now)
    ended = list(
        Record.objects.filter(project_id=job.project_id, job=job, completed_at__gte=since)
        .order_by("-completed_at", "-id")
        .values_list("completed_at", flat=True)[:SPEED_SAMPLE]
    )
    if len(ended) == SPEED_SAMPLE:
        since = ended[-1] or since
    length = (now - since).total_seconds()
    return len(ended) / length if length > 0 else None
