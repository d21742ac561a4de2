"""How long a pipeline's jobs usually take, learned from the last completed ones (SPEC section 9).

A workflow's range is p10 to p90 of whole lengths, without the time it waited or was paused. A
spinner's runs differ in size, so theirs is p10 to p90 of seconds a record, times the run's records.
Corrected jobs are left out; their number is kept beside the range. Until there are enough, the
catalogue's range of the job type holds.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from config.prepared import Prepared
from jobs import clock
from jobs.durations import quantile
from jobs.events import EventKind
from jobs.models import DurationRange, Job, JobEvent, JobType, ListedJob
from jobs.models.jobs import REPORTED_KINDS, JobKind
from jobs.statuses import JobStatus
from projects.models import Project

SAMPLE = 100
ENOUGH = 5
STALLED_FACTOR = 2
# A flood of one-contact runs settles many times a second; what is usual changes slowly.
LEARN_AGAIN_AFTER = timedelta(seconds=10)
MOST_RUNNING = 2_000


class Learned(NamedTuple):
    """A DurationRange's columns."""

    pipeline_id: int
    effort_level: str
    low_seconds: float
    high_seconds: float
    record_low_seconds: float | None
    record_high_seconds: float | None
    sample_count: int
    corrected_count: int


@dataclass(slots=True, frozen=True)
class Range:
    """Seconds; `sample_count` is 0 where the catalogue speaks."""

    low_seconds: float
    high_seconds: float
    sample_count: int = 0
    corrected_count: int = 0

    def times(self, factor: float) -> "Range":
        return Range(
            self.low_seconds * factor, self.high_seconds * factor, self.sample_count,
            self.corrected_count,
        )  # fmt: skip

    @property
    def words(self) -> str:
        """ "2–4 min", "30 s–5 min", "45 s": as short as it can be said."""
        if self.high_seconds < 1:
            return "under 1 s"
        unit = _unit_of(self.high_seconds)
        is_shared = self.low_seconds >= SECONDS_IN[unit]
        low_unit = unit if is_shared else _unit_of(self.low_seconds)
        low, high = _said(self.low_seconds, low_unit), _said(self.high_seconds, unit)
        if low_unit != unit:
            return f"{low} {low_unit}–{high} {unit}"
        return f"{high} {unit}" if low == high else f"{low}–{high} {unit}"


SECONDS_IN = {"h": 3600, "min": 60, "s": 1}


def _unit_of(seconds: float) -> str:
    return "h" if seconds >= 5400 else "min" if seconds >= 120 else "s"


def _said(seconds: float, unit: str) -> str:
    value = seconds / SECONDS_IN[unit]
    if unit != "s" and value < 10 and round(value, 1) != round(value):
        return f"{value:.1f}"
    return f"{value:.0f}" if value >= 0.5 else "under 1"


def learn(pipeline_id: int, effort: str = "", *, at_once: bool = False) -> Range | None:
    """Read the pipeline's last completed jobs of one effort and keep their range.

    Called when a job settles and by the sweep; does nothing within ten seconds of the last time
    unless `at_once`. Returns the range, or None while there are too few jobs.
    """
    known = DurationRange.objects.filter(pipeline_id=pipeline_id, effort_level=effort).first()
    if known and not at_once and abs(clock.now() - known.updated_at) < LEARN_AGAIN_AFTER:
        return Range(
            known.low_seconds, known.high_seconds, known.sample_count, known.corrected_count
        )
    jobs = list(
        Job.objects.filter(
            pipeline_id=pipeline_id, effort_level=effort, status=JobStatus.COMPLETED,
            started_at__isnull=False, completed_at__isnull=False,
        )
        .order_by("-completed_at")
        .only("started_at", "completed_at", "resumed_at", "total_count", "is_corrected",
              "events_pruned_at")[:SAMPLE]
    )  # fmt: skip
    corrected_count = sum(job.is_corrected for job in jobs)
    came_back = {job.pk for job in jobs if job.resumed_at and not job.events_pruned_at}
    idle = idle_seconds(came_back) if came_back else {}
    counted = [
        (max(job.duration_seconds - idle.get(job.pk, 0), 0), job.total_count)
        for job in jobs
        if not job.is_corrected
        and job.duration_seconds is not None
        # How long a job rested whose history does not tell nobody knows.
        and (not job.resumed_at or job.pk in idle)
    ]
    if len(counted) < ENOUGH:
        if known:
            known.delete()  # corrections took away what it stood on
        return None
    lengths = sorted(length for length, _ in counted)
    per_record = sorted(length / total for length, total in counted if total)
    low, high = quantile(lengths, 0.1), quantile(lengths, 0.9)
    DurationRange.objects.update_or_create(
        pipeline_id=pipeline_id, effort_level=effort,
        defaults={
            "sample_count": len(counted), "corrected_count": corrected_count,
            "low_seconds": low, "high_seconds": high,
            "record_seconds": quantile(per_record, 0.5) if per_record else None,
            "record_low_seconds": quantile(per_record, 0.1) if per_record else None,
            "record_high_seconds": quantile(per_record, 0.9) if per_record else None,
        },
    )  # fmt: skip
    return Range(low, high, len(counted), corrected_count)


REST = {EventKind.WAITING, EventKind.COMPLETED, EventKind.FAILED}
RETURN = {EventKind.RESUMED, EventKind.RETRIED}
PAUSE = {EventKind.PAUSED, EventKind.UNPAUSED}


def idle_seconds(job_ids: set[int]) -> dict[int, float]:
    """How long each of these jobs waited for people and times, rested while its project was
    paused, or had ended before a retry; jobs that never did are absent.
    """
    told = (
        JobEvent.objects.filter(job_id__in=job_ids, kind__in=REST | RETURN | PAUSE)
        .order_by("job_id", "number")
        .values_list("job_id", "kind", "at", "payload")
    )
    idle: dict[int, float] = defaultdict(float)
    since: dict[int, datetime] = {}
    paused: dict[int, datetime] = {}
    for job_id, kind, at, payload in told:
        if kind == EventKind.PAUSED:
            paused[job_id] = at
        elif kind == EventKind.UNPAUSED:
            # Work in hand goes on in a paused project: its time counts.
            if job_id in paused and payload.get("rested"):
                idle[job_id] += (at - paused[job_id]).total_seconds()
            paused.pop(job_id, None)
        else:
            if job_id in since:
                idle[job_id] += (at - since.pop(job_id)).total_seconds()
                if job_id in paused:
                    paused[job_id] = at  # no second counts twice
            if kind in REST:
                since[job_id] = at
    return idle


def usual_range(job: Job) -> Range | None:
    """What is usual for a job of this workflow, effort and size; None where nothing is known."""
    return usual_ranges([job]).get(job.pk)


def usual_ranges(jobs: Iterable[Job | ListedJob]) -> dict[int, Range]:
    """The same for many jobs in at most two queries; jobs of which nothing is known are absent."""
    jobs = list(jobs)
    pipeline_ids = sorted({job.pipeline_id for job in jobs if job.pipeline_id})
    found = [Learned._make(row) for row in _LEARNED.rows(pipeline_ids=pipeline_ids)]
    learned = {(each.pipeline_id, each.effort_level): each for each in found}
    ranges = {}
    unknown = []
    for job in jobs:
        if known := learned.get((job.pipeline_id or 0, job.effort_level)):
            ranges[job.pk] = _of_size(known, job)
        elif job.job_type_id:
            unknown.append(job)
    type_ids = sorted({job.job_type_id for job in unknown if job.job_type_id})
    typical = {
        type_id: Range(low, high)
        for type_id, low, high in _TYPICAL.rows(type_ids=type_ids)
        if low is not None and high
    }
    for job in unknown:
        if job.job_type_id in typical:
            ranges[job.pk] = typical[job.job_type_id]
    return ranges


def _of_size(found: Learned, job: Job | ListedJob) -> Range:
    low, high = sized(
        job.kind, job.total_count, (found.low_seconds, found.high_seconds),
        (found.record_low_seconds, found.record_high_seconds),
    )  # fmt: skip
    return Range(low, high, found.sample_count, found.corrected_count)


def sized(
    kind: str,
    total_count: int,
    whole: tuple[float, float],
    a_record: tuple[float | None, float | None],
) -> tuple[float, float]:
    """A learned range for a job of this size: a run's goes by its seconds a record."""
    low, high = a_record
    if kind != JobKind.SPINNER or high is None or not total_count:
        return whole
    return (low or 0) * total_count, high * total_count


def stall_seconds(
    kind: str, total_count: int, high_seconds: float | None, pace: int | None = None
) -> float | None:
    """After how many seconds at work a running job may be stalled; None: nobody can tell.

    Twice the usual maximum; without a history a fixed limit, for a run at least a second a record
    (what others report may take as long as it likes). A pace that was asked for is no slowness.
    """
    if high_seconds is not None:
        # Very short usual times would cry stalled at the first hiccup.
        limit = max(high_seconds * STALLED_FACTOR, SHORTEST_STALL_SECONDS)
    elif kind in REPORTED_KINDS:
        return None
    else:
        limit = max(settings.SLOW_AFTER_SECONDS, total_count if kind == JobKind.SPINNER else 0)
    if pace and kind == JobKind.SPINNER:
        limit = max(limit, STALLED_FACTOR * 60 * total_count / pace)
    return limit


def fixed_words(job: Job) -> str:
    """ "60 min": the limit that holds while too few jobs have ended to know what is usual; else ""."""
    seconds = stall_seconds(job.kind, job.total_count, None)
    return "" if seconds is None else Range(seconds, seconds).words


def is_stalled(job: Job, known: Range | None = None, *, now: datetime | None = None) -> bool:
    """Whether a running job is silent or beyond its limit, and not held by a pause of its project.
    Give `known` to save the query, and load the project with the job.
    """
    if job.status != JobStatus.RUNNING:
        return False
    known = known or usual_range(job)
    is_free = job.kind in REPORTED_KINDS
    pace = job.options.get("pace_per_minute")
    return _is_long(job, known, now, pace) and (is_free or job.project.paused_at is None)


def stalled_among(
    jobs: Iterable[Job | ListedJob], ranges: dict[int, Range], *, now: datetime | None = None
) -> set[int]:
    """The same for many jobs; two queries where any is long."""
    long = [job for job in jobs if _is_long(job, ranges.get(job.pk), now)]
    runs = [job.pk for job in long if job.kind == JobKind.SPINNER]
    paces = dict(_PACES.rows(job_ids=runs))
    long = [job for job in long if _is_long(job, ranges.get(job.pk), now, paces.get(job.pk))]
    asked = sorted({job.project_id for job in long if job.kind not in REPORTED_KINDS})
    paused = {project_id for (project_id,) in _PAUSED.rows(project_ids=asked)}
    return {
        job.pk for job in long if job.project_id not in paused or job.kind in REPORTED_KINDS
    }  # fmt: skip


def _is_long(
    job: Job | ListedJob, known: Range | None, now: datetime | None, pace: int | None = None
) -> bool:
    if job.status != JobStatus.RUNNING or job.started_at is None:
        return False
    if job.stalled_at is not None:
        return True  # the sweep marked it: nothing was heard of it
    limit = stall_seconds(job.kind, job.total_count, known.high_seconds if known else None, pace)
    # A wait for a person or a time, or a pause, is no work: counted from the last return.
    elapsed = ((now or timezone.now()) - (job.resumed_at or job.started_at)).total_seconds()
    return limit is not None and elapsed > limit


SHORTEST_STALL_SECONDS = 30


def stalled_ids(running: QuerySet[Job]) -> list[int]:
    """Which of these running jobs may be stalled, the longest running among 2,000 first."""
    jobs = list(
        running.order_by("started_at").only(
            "id", "kind", "status", "pipeline_id", "effort_level", "job_type_id", "total_count",
            "started_at", "resumed_at", "stalled_at", "project_id",
        )[:MOST_RUNNING]
    )  # fmt: skip
    stalled = stalled_among(jobs, usual_ranges(jobs))
    return [job.pk for job in jobs if job.pk in stalled]


_LEARNED = Prepared(
    lambda pipeline_ids: DurationRange.objects.filter(pipeline_id__in=pipeline_ids).values_list(
        *Learned._fields
    )
)
_TYPICAL = Prepared(
    lambda type_ids: JobType.objects.filter(pk__in=type_ids).values_list(
        "pk", "typical_min_seconds", "typical_max_seconds"
    )
)
_PACES = Prepared(
    lambda job_ids: Job.objects.filter(
        pk__in=job_ids, options__has_key="pace_per_minute"
    ).values_list("pk", "options__pace_per_minute")
)
_PAUSED = Prepared(
    lambda project_ids: Project.objects.filter(
        pk__in=project_ids, paused_at__isnull=False
    ).values_list("pk")
)
