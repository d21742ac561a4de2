"""How far a run is, how fast it goes, and when it is likely to end."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from jobs import usual
from jobs.models import Job, Record
from jobs.statuses import JobStatus

SPEED_WINDOW = timedelta(seconds=60)
SHORTEST_WINDOW = timedelta(seconds=5)
LONGEST_WINDOW = timedelta(hours=1)
FEW_TO_COUNT = 5_000
MOST_COUNTED = 100_000
ENOUGH_RECORDS = 10
ENOUGH_SECONDS = 3
STANDS_STILL = 5  # so many records should have ended meanwhile, and none did

TOO_EARLY = "not enough data yet"
PAUSED = "not known while the project is paused"
NOTHING_ENDS = "not known while nothing ends"


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
    """Records a second; None where there is not enough yet to tell.

    `average` is over the time the run was at work: waits, pauses and the rest before a retry do
    not count, nor do records a cancel closed. Of a running run either `ends_at` is there, or
    `unknown` says why not.
    """

    now: float | None = None
    average: float | None = None
    ends_at: datetime | None = None
    unknown: str = ""


def speed_of(job: Job, now: datetime | None = None) -> Speed:
    """At most two queries for a running job: how many records ended lately, and its rests.
    The job's project should be loaded.
    """
    now = now or timezone.now()
    if job.started_at is None:
        return Speed()
    worked = _worked_seconds(job, now)
    processed = job.processed_count
    if job.is_final:
        return Speed(average=processed / worked if processed and worked else None)
    is_enough = processed >= ENOUGH_RECORDS and worked is not None and worked >= ENOUGH_SECONDS
    average = processed / worked if is_enough and worked else None
    if job.status != JobStatus.RUNNING:
        return Speed(average=average)
    if job.project.paused_at:
        return Speed(average=average, unknown=PAUSED)
    return _forecast(job, average, now)


def _forecast(job: Job, average: float | None, now: datetime) -> Speed:
    """By the speed now; right after a return, or where records end minutes apart, by the average."""
    since = max(now - _window(average), job.resumed_at or job.started_at or now)
    count, seconds = _ended_since(job, since), (now - since).total_seconds()
    current = None
    if seconds >= ENOUGH_SECONDS and (average or count >= ENOUGH_RECORDS):
        current = count / seconds
    if average and not count and average * seconds >= STANDS_STILL:
        return Speed(current, average, unknown=NOTHING_ENDS)
    rate = current or average
    if not rate:
        return Speed(unknown=TOO_EARLY)
    to_do = job.remaining_count - job.waiting_count
    return Speed(current, average, now + timedelta(seconds=to_do / rate))


def _window(average: float | None) -> timedelta:
    """A minute; less of a fast run, so that little is counted; more where records are far apart."""
    if not average:
        return SPEED_WINDOW
    enough = timedelta(seconds=ENOUGH_RECORDS / average)
    few = timedelta(seconds=FEW_TO_COUNT / average)
    if enough > SPEED_WINDOW:
        return min(enough, LONGEST_WINDOW)
    return max(min(few, SPEED_WINDOW), SHORTEST_WINDOW)


def _worked_seconds(job: Job, now: datetime) -> float | None:
    """Between start and end, without rests; None where the history that told of them is gone."""
    assert job.started_at is not None
    end = job.completed_at or now
    if job.status == JobStatus.WAITING:
        end = job.wait_began_at or now
    elif job.status == JobStatus.RUNNING and job.project.paused_at:
        # What was in hand at the pause is finished first.
        end = min(now, max(job.project.paused_at, job.last_heartbeat_at or job.started_at))
    rested = 0.0
    if job.resumed_at:
        known = None if job.events_pruned_at else usual.idle_seconds({job.pk}).get(job.pk)
        if known is None:
            return None
        rested = known
    return max((end - job.started_at).total_seconds() - rested, 0.0)


def _ended_since(job: Job, since: datetime) -> int:
    ended = Record.objects.filter(project_id=job.project_id, job=job, completed_at__gte=since)
    return ended.order_by()[:MOST_COUNTED].count()
