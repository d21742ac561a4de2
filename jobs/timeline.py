"""A job's timeline, drawn from its execution history and never from the job's row.

    created ── queued │ … in the queue … │ claimed ── started │ …steps… ended │ torn down
    └──── Init ─────┘                    └─ Agent Setup ──┘└── Execution ───┘└ Teardown ┘

All bars share one axis, from the first event to the last (or now). Shares are per mille of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DatabaseError
from django.db.models import Count
from django.utils import timezone

from jobs.durations import percentile
from jobs.events import EventKind
from jobs.models import Job, JobEvent
from jobs.models.jobs import JobKind
from jobs.statuses import JobStatus

ENDS = {
    EventKind.COMPLETED: JobStatus.COMPLETED,
    EventKind.FAILED: JobStatus.FAILED,
    EventKind.CANCELLED: JobStatus.CANCELLED,
}
SETUP = {EventKind.CLAIMED, EventKind.STARTED}
INIT = {EventKind.CREATED, EventKind.QUEUED}
STEPS = {EventKind.STEP_STARTED, EventKind.STEP_COMPLETED, EventKind.STEP_FAILED}
# What happened to the job as a whole; everything else only counts as an activity.
TELLING = [
    *ENDS, *SETUP, *INIT, *STEPS, EventKind.WAITING, EventKind.RESUMED, EventKind.RETRIED,
    EventKind.TORN_DOWN, EventKind.CORRECTED, EventKind.CORRECTION_UNDONE,
]  # fmt: skip
MOST_EVENTS = 1_000
NARROWEST = 6  # per mille, so that 18 ms of a minute can be seen
PHASES = ("Init", "Agent Setup", "Execution", "Teardown")


@dataclass(slots=True)
class Span:
    """A bar: its place on the axis, in per mille; nothing is drawn while `start` is None."""

    start: datetime | None = None
    end: datetime | None = None
    seconds: float | None = None
    left: float = 0
    width: float = 0

    @property
    def left_percent(self) -> str:
        return f"{self.left / 10:.2f}%"

    @property
    def width_percent(self) -> str:
        return f"{self.width / 10:.2f}%"

    @property
    def length(self) -> str:
        return length_text(self.seconds)


@dataclass(slots=True)
class Phase:
    """`state` is done, running, waiting, failed, cancelled or "" (not reached)."""

    name: str
    state: str = ""
    span: Span = field(default_factory=Span)
    activity_count: int = 0
    share: str = ""


@dataclass(slots=True)
class StepRow:
    number: int
    name: str
    state: str = ""
    span: Span = field(default_factory=Span)
    agent: str = ""
    attempts: int = 0
    max_attempts: int = 0
    error: str = ""
    # A spinner's funnel: None for a workflow.
    funnel: dict[str, int] | None = None
    p50: str = ""
    p95: str = ""


@dataclass(slots=True)
class Timeline:
    status: str  # as the history tells it
    event_count: int
    byte_count: int
    phases: list[Phase]
    steps: list[StepRow]
    queued_seconds: float | None = None

    @property
    def size_kb(self) -> str:
        return f"{self.byte_count / 1000:.1f} KB"

    @property
    def execution(self) -> Phase:
        return self.phases[2]


def timeline_of(job: Job, now: datetime | None = None) -> Timeline | None:
    """Three queries; None where there is no history to read (pruned, never made, store down)."""
    if job.events_pruned_at:
        return None  # what was said since is not the whole story
    try:
        counts = dict(
            JobEvent.objects.filter(job_id=job.pk)
            .order_by()
            .values_list("kind")
            .annotate(Count("pk"))
        )
        if not counts or set(counts) <= {EventKind.PRUNED}:
            return None
        events = list(
            JobEvent.objects.filter(job_id=job.pk, kind__in=TELLING).order_by("number")[
                :MOST_EVENTS
            ]
        )
    except DatabaseError:
        return None
    now = now or timezone.now()
    status = status_told(events)
    is_over = status in ENDS.values()
    ended_at = _last(events, ENDS) if is_over else None
    phases = _phases(events, counts, status, ended_at, now)
    steps = _funnel(job, now) if job.kind == JobKind.SPINNER else _steps(job, events, status, now)
    _place([phase.span for phase in phases] + [step.span for step in steps], now, is_over=is_over)
    _shares(phases)
    claimed = next((e for e in events if e.kind == EventKind.CLAIMED), None)
    return Timeline(
        status=status.upper(), event_count=sum(counts.values()), byte_count=job.event_bytes,
        phases=phases, steps=steps,
        queued_seconds=claimed.payload.get("queued_seconds") if claimed else None,
    )  # fmt: skip


def status_told(events: Iterable[JobEvent]) -> str:
    """The status the history leads to."""
    status: str = JobStatus.PENDING
    for event in events:
        kind = event.kind
        if kind in ENDS:
            status = ENDS[EventKind(kind)]
        elif kind in {EventKind.STARTED, EventKind.RESUMED, EventKind.RETRIED}:
            status = JobStatus.RUNNING
        elif kind == EventKind.WAITING:
            status = JobStatus.WAITING
        elif kind in {EventKind.CORRECTED, EventKind.CORRECTION_UNDONE}:
            is_of_job = not event.payload.get("record")
            status = event.payload.get("new", status) if is_of_job else status
    return status


def mismatch(job: Job, timeline: Timeline | None) -> str:
    """What to say where row and history disagree about the end; "" where they agree."""
    if timeline is None or timeline.status.lower() == job.status:
        return ""
    if not job.is_final and timeline.status.lower() not in ENDS.values():
        return ""  # pending, running and waiting change while the page is made
    return f"Status mismatch: portal says '{job.status}' but orchestrator says '{timeline.status}'"


def _phases(
    events: Sequence[JobEvent], counts: dict[str, int], status: str, ended_at: datetime | None,
    now: datetime,
) -> list[Phase]:  # fmt: skip
    init, setup, execution, teardown = (Phase(name) for name in PHASES)
    init.activity_count = _count(counts, INIT)
    setup.activity_count = _count(counts, SETUP)
    teardown.activity_count = _count(counts, {*ENDS, EventKind.TORN_DOWN})
    execution.activity_count = max(
        sum(counts.values())
        - init.activity_count - setup.activity_count - teardown.activity_count, 0,
    )  # fmt: skip
    started_at = _first(events, {EventKind.STARTED})
    _fill(init, _first(events, INIT), _last(events, INIT))
    _fill(setup, _first(events, {EventKind.CLAIMED}), _first(events, {EventKind.STARTED}))
    if started_at:
        _fill(execution, started_at, ended_at or now)
        execution.state = {
            JobStatus.FAILED: "failed", JobStatus.CANCELLED: "cancelled",
            JobStatus.WAITING: "waiting", JobStatus.COMPLETED: "done",
        }.get(JobStatus(status), "running")  # fmt: skip
    elif status == JobStatus.FAILED:
        (setup if setup.state else init).state = "failed"
    if ended_at:
        _fill(teardown, ended_at, _last(events, {EventKind.TORN_DOWN}) or ended_at)
        teardown.span.seconds = _ms(events, EventKind.TORN_DOWN, teardown.span.seconds)
    init.span.seconds = _ms(events, EventKind.QUEUED, init.span.seconds)
    return [init, setup, execution, teardown]


def _fill(phase: Phase, start: datetime | None, end: datetime | None) -> None:
    if start is None:
        return
    end = max(end or start, start)
    phase.span = Span(start, end, (end - start).total_seconds())
    phase.state = "done"


def _steps(job: Job, events: Sequence[JobEvent], status: str, now: datetime) -> list[StepRow]:
    """A row per step; where a step ran several times, from its first start to its last end."""
    rows = {
        number: StepRow(number, step.get("name", ""), max_attempts=step.get("max_attempts", 0))
        for number, step in enumerate(job.steps or [], start=1)
    }
    for event in events:
        if event.kind not in STEPS:
            continue
        facts: dict[str, Any] = event.payload
        number = int(facts.get("step") or 0)
        row = rows.setdefault(number, StepRow(number, facts.get("name", "")))
        row.agent = facts.get("agent") or job.agent_name
        row.attempts = max(row.attempts, int(facts.get("attempts") or 0))
        _record(row, event)
    for row in rows.values():
        if row.state == "running" and row.span.start:
            over = status in ENDS.values()
            row.state = "cancelled" if over else "waiting" if status == "waiting" else "running"
            row.span.end = now if not over else _last(events, ENDS)
            row.span.seconds = ((row.span.end or now) - row.span.start).total_seconds()
    return [rows[number] for number in sorted(rows)]


def _record(row: StepRow, event: JobEvent) -> None:
    length = float(event.payload.get("ms") or 0) / 1000
    if event.kind == EventKind.STEP_STARTED:
        row.span.start = row.span.start or event.at
        row.state = "running"
        return
    start = datetime.fromtimestamp(event.at.timestamp() - length, tz=event.at.tzinfo)
    row.span.start = row.span.start or start
    if row.attempts > 1:
        length = max(length, (event.at - row.span.start).total_seconds())
    row.span.end, row.span.seconds = event.at, length
    row.state = "failed" if event.kind == EventKind.STEP_FAILED else "done"
    row.error = event.message if event.kind == EventKind.STEP_FAILED else ""


def _funnel(job: Job, now: datetime) -> list[StepRow]:
    counts = {count.step: count for count in job.step_counts.all()}  # type: ignore[attr-defined]
    rows = []
    is_through = True  # every record has left the steps before
    for number, step in enumerate(job.steps or [], start=1):
        row = StepRow(number, step.get("name", ""), funnel={})
        if found := counts.get(number):
            row.funnel = {
                "reached": found.reached_count, "passed": found.passed_count,
                "failed": found.failed_count, "waiting": found.waiting_count,
            }  # fmt: skip
            row.span = Span(found.first_started_at, found.last_ended_at or found.first_started_at)
            row.p50 = length_text(_seconds(percentile(found.histogram, 0.5)))
            row.p95 = length_text(_seconds(percentile(found.histogram, 0.95)))
            here = found.reached_count - found.passed_count - found.failed_count
            begun = job.total_count if number == 1 else 0
            is_through = is_through and here <= 0 and found.reached_count >= begun
            if found.reached_count:
                is_waiting = here > 0 and here == found.waiting_count
                row.state = (
                    "done" if job.is_final or is_through else "waiting" if is_waiting else "running"
                )
            if row.state == "waiting":
                row.span.end = now
        rows.append(row)
    return rows


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


def _place(spans: Sequence[Span], now: datetime, *, is_over: bool) -> None:
    """Put every bar on the axis from the first start to the last end."""
    starts = [span.start for span in spans if span.start]
    if not starts:
        return
    first = min(starts)
    last = max([span.end or span.start or first for span in spans if span.start])
    if not is_over:
        last = max(last, now)
    whole = max((last - first).total_seconds(), 0.001)
    for span in spans:
        if span.start is None:
            continue
        end = span.end or span.start
        left = 1000 * (span.start - first).total_seconds() / whole
        width = max(1000 * (end - span.start).total_seconds() / whole, NARROWEST)
        span.width = min(width, 1000)
        span.left = min(max(left, 0), 1000 - span.width)


def _shares(phases: Sequence[Phase]) -> None:
    whole = sum(phase.span.seconds or 0 for phase in phases)
    for phase in phases:
        if phase.span.seconds is not None and whole:
            share = 100 * phase.span.seconds / whole
            phase.share = "under 1 %" if share < 1 else f"{share:.0f} %"


def length_text(seconds: float | None) -> str:
    """0.018 → "18ms", 47.9 → "47.9s", 391 → "6m 31s"."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"


def _first(events: Iterable[JobEvent], kinds: Iterable[str]) -> datetime | None:
    wanted = set(kinds)
    return next((event.at for event in events if event.kind in wanted), None)


def _last(events: Sequence[JobEvent], kinds: Iterable[str]) -> datetime | None:
    return _first(reversed(events), kinds)


def _count(counts: dict[str, int], kinds: Iterable[str]) -> int:
    return sum(counts.get(kind, 0) for kind in kinds)


def _ms(events: Sequence[JobEvent], kind: str, otherwise: float | None) -> float | None:
    found = next((e for e in reversed(events) if e.kind == kind and "ms" in e.payload), None)
    return otherwise if found is None else float(found.payload["ms"]) / 1000
