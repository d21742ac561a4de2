"""One job as a row of a list says it: every text made once, so that the template only prints."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from accounts.permissions import Right, allows
from accounts.templatetags.spindle import ago_words
from jobs import usual
from jobs.models import Job, ListedJob
from jobs.models.jobs import REPORTED_KINDS, JobKind
from jobs.queueing import DISPATCHED_KINDS, PendingJob, place_first, reasons_of
from jobs.statuses import ACTIVE_JOB_STATUSES, Effort, JobStatus

ABBREVIATIONS = frozenset({"ai", "bi", "cd", "ci", "hr", "it", "ml", "pr", "qa", "se", "ui", "ux"})
RESENDABLE = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
STATUS_WORDS: dict[str, str] = dict(JobStatus.choices)
EFFORT_WORDS: dict[str, str] = dict(Effort.choices)


@dataclass(slots=True)
class JobRow:
    """`action` is "cancel", "resend", "resended" or "" where the user may do nothing; `why` is
    what a pending job waits for.
    """

    id: int
    title: str
    ticket: str
    effort: str
    progress: str
    length: str
    ticks_from: str
    agent: str
    initials: str
    status: str
    word: str
    note: str
    why: str
    at: str
    at_words: str
    ago: str
    action: str
    is_open: bool
    version: int


def title_case(slug: str) -> str:
    """ "se-rca-fix" and "se_rca_fix" → "SE Rca Fix"."""
    words = slug.replace("_", " ").replace("-", " ").split()
    return " ".join(
        word.upper() if word.lower() in ABBREVIATIONS else word[:1].upper() + word[1:]
        for word in words
    )


def length_words(seconds: float) -> str:
    """391 → "6m 31s", 48 → "48s", 0.412 → "412ms", 7384 → "2h 03m"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def progress_words(job: Job | ListedJob) -> str:
    if job.kind == JobKind.SPINNER:
        return f"{job.processed_count:,} of {job.total_count:,} contacts"
    if not job.step_count:
        return ""
    noun = "step" if job.step_count == 1 else "steps"
    return f"{min(job.current_step, job.step_count)} of {job.step_count} {noun}"


def action_for(job: Job | ListedJob, *, may_operate: bool, is_resent: bool) -> str:
    if not may_operate:
        return ""
    if job.status in ACTIVE_JOB_STATUSES:
        return "" if job.cancel_requested_at else "cancel"
    if job.status in RESENDABLE and job.kind not in REPORTED_KINDS:
        return "resended" if is_resent else "resend"
    return ""


def status_word(job: Job | ListedJob) -> str:
    if job.is_cancelling:
        return "Stopping server…" if job.kind == JobKind.RUN else "Cancelling…"
    return STATUS_WORDS[job.status]


def rows_of(
    jobs: Iterable[ListedJob], roles: dict[int, str], now: datetime | None = None
) -> list[JobRow]:
    """At most three queries however many jobs: what is usual, what is paused.

    Where some are pending, five more a team: why (jobs/queueing.py).
    """
    jobs = list(jobs)
    now = now or timezone.now()
    running = [job for job in jobs if job.status == JobStatus.RUNNING]
    ranges = usual.usual_ranges(running) if running else {}
    stalled = usual.stalled_among(running, ranges, now=now)
    pending = [job for job in jobs if job.status == JobStatus.PENDING]
    reasons = reasons_of(PendingJob.of(job) for job in pending if job.kind in DISPATCHED_KINDS)
    operable = {team for team, role in roles.items() if allows(role, Right.OPERATE)}
    zone = timezone.get_current_timezone()
    return [_row(job, now, zone, operable, stalled, reasons.get(job.pk, "")) for job in jobs]


def _row(  # type: ignore[no-untyped-def]
    job: ListedJob,
    now: datetime,
    zone,
    operable: Collection[int],
    stalled: set[int],
    why: str,
) -> JobRow:
    started = job.started_at
    shown = started or job.created_at
    length = ticks_from = ""
    if started is not None:
        length = length_words(max(((job.completed_at or now) - started).total_seconds(), 0))
        if job.status in ACTIVE_JOB_STATUSES:
            ticks_from = f"{started.timestamp() * 1000:.0f}"
    return JobRow(
        id=job.pk,
        title=title_case(job.workflow_slug or job.label),
        ticket=job.ticket_key,
        effort=EFFORT_WORDS.get(job.effort_level, ""),
        progress=progress_words(job),
        length=length,
        ticks_from=ticks_from,
        agent=job.agent_name,
        initials=job.agent_name[:2].upper(),
        status="cancelling" if job.is_cancelling else job.status,
        word=status_word(job),
        note="may be stalled" if job.pk in stalled else "",
        why=place_first(why),
        at=shown.isoformat(),
        at_words=f"{shown.astimezone(zone):%d %b %Y, %H:%M:%S %Z}",
        ago=ago_words((now - shown).total_seconds()),
        action=action_for(job, may_operate=job.team_id in operable, is_resent=job.is_resent),
        is_open=job.status in ACTIVE_JOB_STATUSES,
        version=job.event_count,
    )
