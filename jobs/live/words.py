"""What the panel's first paint says of a job, in the words of config/static/js/active-jobs.js.

Times are milliseconds since the epoch, as the facts have them.
"""

from typing import Any

from jobs.models.jobs import JobKind
from jobs.statuses import JobStatus

WORDS = {"pending": "Queued", "running": "Running", "waiting": "Waiting"}


def row_of(job: dict[str, Any], now: int) -> dict[str, Any]:
    """The facts with `time`, `who` and `stalled` beside them."""
    stalled = is_stalled(job, now)
    return {**job, "time": time_text(job, now), "who": who_text(job, now), "stalled": stalled}


def is_stalled(job: dict[str, Any], now: int) -> bool:
    if job["status"] != JobStatus.RUNNING or job["paused"] or not job["started"]:
        return False
    if job["stall_after"] is None:
        return False
    return bool(now - (job["resumed"] or job["started"]) > job["stall_after"] * 1000)


def shown_status(job: dict[str, Any]) -> str:
    """Which icon stands for it: a wish to cancel has its own (J18)."""
    return "cancelling" if job["cancelling"] else str(job["status"])


def icon_word(job: dict[str, Any]) -> str:
    return "Cancelling" if job["cancelling"] else WORDS[job["status"]]


def time_text(job: dict[str, Any], now: int) -> str:
    if job["cancelling"]:
        return "Stopping…" if job["kind"] == JobKind.RUN else "Cancelling…"
    if job["status"] == JobStatus.RUNNING and job["started"]:
        return clock_text(now - job["started"])
    return WORDS[job["status"]]


def who_text(job: dict[str, Any], now: int) -> str:
    """Who works on what, and how long a job has been in the state it waits in (S5)."""
    counts = f"{job['finished']:,} of {job['total']:,}"
    if job["kind"] == JobKind.SPINNER:
        parts = ["Spinner", f"{counts} contacts"]
        if job["failed"]:
            parts.append(f"{job['failed']:,} failed")
    else:
        parts = [job["agent"], job["ticket"]]
        if job["kind"] == JobKind.TASK and job["total"]:
            parts.append(counts)
    if job["status"] == JobStatus.PENDING:
        parts.append(f"for {rough_text(now - job['created'])}")
    if job["status"] == JobStatus.WAITING:
        since = job["waiting_since"] or job["started"] or job["created"]
        parts.append(f"for {rough_text(now - since)}")
    if is_stalled(job, now):
        parts.append(_stall_text(job))
    return " · ".join(part for part in parts if part)


def clock_text(ms: int) -> str:
    """4:12, 1:02:09"""
    minutes, seconds = divmod(max(0, ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def rough_text(ms: int) -> str:
    """48s, 6m, 2h 4m, 3d"""
    seconds = max(0, ms // 1000)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3_600:
        return f"{seconds // 60}m"
    if seconds < 86_400:
        return f"{seconds // 3_600}h {seconds % 3_600 // 60}m"
    return f"{seconds // 86_400}d"


def _stall_text(job: dict[str, Any]) -> str:
    if job["silent"]:
        return "nothing heard of it"
    if not job["usual_high"]:
        return f"over {_short(job['stall_after'])}; what is usual is not known yet"
    return f"usually {_usual_text(job)}"


def _usual_text(job: dict[str, Any]) -> str:
    low, high = job["usual_low"], job["usual_high"]
    return f"{_short(low)}–{_short(high)}" if low else f"up to {_short(high)}"


def _short(seconds: float) -> str:
    return f"{int(seconds + 0.5)}s" if seconds < 90 else f"{int(seconds / 60 + 0.5)}m"
