"""What Live Ops shows of a project: cards, charts, what stands still, who works.

Every number is a maintained one or a capped count, so that a poll costs the same at ten
thousand records and at ten million.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import Sum
from django.utils import timezone

from jobs import usual
from jobs.durations import percentile
from jobs.execution.broker import broker_state
from jobs.models import Batch, Job, Record, RecordMinute, StepMinute, Worker
from jobs.statuses import ACTIVE_JOB_STATUSES, BatchStatus, JobStatus, RecordStatus
from projects.models import Project

MINUTES = 30
COUNT_LIMIT = 10_000
BASELINE = timedelta(hours=24)
BASELINE_SECONDS = 300
SLOWER_FACTOR = 1.5
SLOWER_AT_LEAST_MS = 5.0
SLOWER_MINUTES = 3
STEPS_SHOWN = 6
WORK_SHOWN = 100
# What a poll needs of each active job; input, options and steps may be large.
READ = (
    "id", "team_id", "project_id", "kind", "status", "label", "pipeline_id", "effort_level",
    "job_type_id", "total_count", "waiting_count", "current_step", "agent_name", "started_at",
    "completed_at", "resumed_at", "stalled_at", "last_heartbeat_at",
)  # fmt: skip
SHOWN_FROM_MS = 2.0  # a step that only computes has no time worth a chart


@dataclass
class StillRun:
    """A running job that stands still or takes long, with the evidence in words."""

    job: Job
    evidence: str
    is_silent: bool


@dataclass
class StepChart:
    """One step's time a minute; `None` where nothing ran in a minute."""

    name: str
    spinner: str
    minutes: list[datetime]
    p50: list[float | None]
    p95: list[float | None]
    usual_p95: float | None = None
    slower_since: datetime | None = None
    count: int = 0

    @property
    def latest_p50(self) -> float | None:
        return next((v for v in reversed(self.p50) if v is not None), None)

    @property
    def latest_p95(self) -> float | None:
        return next((v for v in reversed(self.p95) if v is not None), None)

    @property
    def slower_by_ms(self) -> float | None:
        if self.slower_since is None or self.latest_p95 is None or self.usual_p95 is None:
            return None
        return self.latest_p95 - self.usual_p95


@dataclass
class WorkerAtWork:
    """A worker serves all teams: only what it does for this one is told."""

    worker: Worker
    jobs: list[Job] = field(default_factory=list)


@dataclass
class Ops:
    now: datetime
    running: int = 0
    pending: int = 0
    waiting_jobs: int = 0
    waiting_records: int = 0
    uncertain_records: int = 0
    failed_today: int = 0
    ended_today: int = 0
    throughput: int = 0
    due_batches: int = 0
    still: list[StillRun] = field(default_factory=list)
    unknown: list[Job] = field(default_factory=list)  # judged by a fixed limit (L7)
    workers: list[WorkerAtWork] = field(default_factory=list)
    bars: list[tuple[datetime, int, int]] = field(default_factory=list)
    steps: list[StepChart] = field(default_factory=list)
    broker: dict[str, Any] = field(default_factory=dict)

    @property
    def is_busy(self) -> bool:
        return bool(self.running or self.pending)

    @property
    def slow_after(self) -> str:
        return usual.Range(settings.SLOW_AFTER_SECONDS, settings.SLOW_AFTER_SECONDS).words

    @property
    def today(self) -> datetime:
        return timezone.localtime(self.now).replace(hour=0, minute=0, second=0, microsecond=0)


def read(project: Project) -> Ops:
    """The state of a project at this moment, in a fixed number of queries."""
    ops = Ops(now=timezone.now())
    _read_jobs(project, ops)
    _read_records(project, ops)
    _read_minutes(project, ops)
    _read_steps(project, ops)
    ops.workers = _workers(project)
    ops.broker = broker_state()
    return ops


def _workers(project: Project) -> list[WorkerAtWork]:
    workers = {worker.name: WorkerAtWork(worker) for worker in Worker.objects.up().order_by("name")}
    held = Batch.objects.filter(
        team_id=project.team_id, status=BatchStatus.RUNNING, lease_owner__in=workers
    ).values_list("lease_owner", "job_id").distinct()  # fmt: skip
    pairs = list(held.order_by("job_id")[:WORK_SHOWN])
    jobs = Job.objects.only("id", "label").in_bulk({job_id for _, job_id in pairs})
    for name, job_id in pairs:
        workers[name].jobs.append(jobs[job_id])
    return list(workers.values())


def _read_jobs(project: Project, ops: Ops) -> None:
    active = list(
        Job.objects.filter(team_id=project.team_id, project=project, status__in=ACTIVE_JOB_STATUSES)
        .order_by("id")
        .only(*READ)[:COUNT_LIMIT]
    )
    running = [job for job in active if job.status == JobStatus.RUNNING]
    ops.running = len(running)
    ops.pending = sum(job.status == JobStatus.PENDING for job in active)
    ops.waiting_jobs = sum(job.status == JobStatus.WAITING for job in active)
    ops.waiting_records = sum(job.waiting_count for job in active)
    ranges = usual.usual_ranges(running)
    stalled = usual.stalled_among(running, ranges, now=ops.now)
    for job in running:
        if job.stalled_at is not None:
            ops.still.append(StillRun(job, _silent_words(job), is_silent=True))
        elif job.pk in stalled:
            ops.still.append(StillRun(job, _slow_words(job, ranges.get(job.pk)), is_silent=False))
    ops.unknown = [job for job in running if job.pk not in ranges and usual.fixed_words(job)]
    ops.due_batches = Batch.objects.filter(
        job_id__in=[job.pk for job in active], status=BatchStatus.PENDING
    )[:COUNT_LIMIT].count()


def _slow_words(job: Job, known: usual.Range | None) -> str:
    if known is not None:
        effort = f" at effort {job.get_effort_level_display()}" if job.effort_level else ""
        return f"usually {known.words}{effort}"
    return f"over the fixed limit of {usual.fixed_words(job)}: too few have ended to know what is usual"


def _silent_words(job: Job) -> str:
    if job.last_heartbeat_at is None:
        return "no worker has been heard of on it"
    seen = timezone.localtime(job.last_heartbeat_at)
    who = f", then on {job.agent_name}" if job.agent_name else ""
    return f"last heartbeat {seen:%H:%M:%S}{who}"


def _read_records(project: Project, ops: Ops) -> None:
    records = Record.objects.filter(project=project)
    ops.uncertain_records = (
        records.filter(status=RecordStatus.UNCERTAIN).order_by()[:COUNT_LIMIT].count()
    )
    ops.failed_today = (
        records.filter(status=RecordStatus.FAILED, completed_at__gte=ops.today)
        .order_by()[:COUNT_LIMIT]
        .count()
    )


def _read_minutes(project: Project, ops: Ops) -> None:
    minutes = RecordMinute.objects.filter(project=project)
    today = minutes.filter(minute__gte=ops.today).aggregate(
        done=Sum("done_count"), failed=Sum("failed_count"), other=Sum("other_count")
    )
    ops.ended_today = sum(value or 0 for value in today.values())
    last = _last_minutes(ops.now)
    found = {row.minute: row for row in minutes.filter(minute__gte=last[0], minute__lte=last[-1])}
    for minute in last:
        row = found.get(minute)
        done = row.done_count + row.other_count if row else 0
        ops.bars.append((minute, done, row.failed_count if row else 0))
    # The last whole minute, and the present one scaled by nothing: whichever says more.
    ops.throughput = max(sum(bar[1:]) for bar in ops.bars[-2:])


def _last_minutes(now: datetime) -> list[datetime]:
    this = now.replace(second=0, microsecond=0)
    return [this - timedelta(minutes=back) for back in range(MINUTES - 1, -1, -1)]


def _read_steps(project: Project, ops: Ops) -> None:
    last = _last_minutes(ops.now)
    rows = StepMinute.objects.filter(project=project, minute__gte=last[0]).select_related(
        "pipeline"
    )
    by_step: dict[tuple[int, str], list[StepMinute]] = defaultdict(list)
    for row in rows:
        by_step[row.pipeline_id, row.step_name].append(row)
    busiest = sorted(by_step.items(), key=lambda item: -sum(r.total_ms for r in item[1]))
    usual_p95 = _usual_p95(project, ops.now)
    for (pipeline_id, name), found in busiest[:STEPS_SHOWN]:
        at = {row.minute: row for row in found}
        chart = StepChart(
            name=name, spinner=found[0].pipeline.name, minutes=last,
            p50=[percentile(at[m].histogram, 0.5) if m in at else None for m in last],
            p95=[percentile(at[m].histogram, 0.95) if m in at else None for m in last],
            usual_p95=usual_p95.get((pipeline_id, name)),
            count=sum(row.count for row in found),
        )  # fmt: skip
        chart.slower_since = slower_since(chart)
        if max((v for v in chart.p95 if v is not None), default=0.0) >= SHOWN_FROM_MS:
            ops.steps.append(chart)


def slower_since(chart: StepChart) -> datetime | None:
    """The minute from which on every p95 lies well above the usual one; None if there is none."""
    if chart.usual_p95 is None:
        return None
    limit = max(chart.usual_p95 * SLOWER_FACTOR, chart.usual_p95 + SLOWER_AT_LEAST_MS)
    since, seen = None, 0
    for minute, value in zip(reversed(chart.minutes), reversed(chart.p95), strict=True):
        if value is None:
            continue
        if value <= limit:
            break
        since, seen = minute, seen + 1
    return since if seen >= SLOWER_MINUTES else None


def _usual_p95(project: Project, now: datetime) -> dict[tuple[int, str], float]:
    """Each step's p95 over the day before the chart begins; read anew every five minutes."""
    key = f"ops-usual-{project.pk}"
    known = cache.get(key)
    if known is None:
        before = now - timedelta(minutes=MINUTES)
        rows = StepMinute.objects.filter(
            project=project, minute__gte=before - BASELINE, minute__lt=before
        ).values_list("pipeline_id", "step_name", "histogram")
        sums: dict[tuple[int, str], list[int]] = {}
        for pipeline_id, name, histogram in rows.iterator():
            total = sums.setdefault((pipeline_id, name), [])
            total.extend([0] * (len(histogram) - len(total)))
            for place, count in enumerate(histogram):
                total[place] += count
        known = {step: percentile(total, 0.95) for step, total in sums.items()}
        cache.set(key, known, BASELINE_SECONDS)
    return {step: value for step, value in known.items() if value is not None}
