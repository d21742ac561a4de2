"""How runs, records and journeys read on the screen."""

import json
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.templatetags.spindle import duration, ms
from jobs.failures import CATALOGUE, Failure
from jobs.live.facts import version_of
from jobs.models import Job, Record
from jobs.progress import shares
from jobs.statuses import RecordStatus

register = template.Library()

BAR_WIDTH = 1_000
NARROWEST = 4  # so that three failures of 5,000 can be seen
EXCERPT = 2_000


@register.simple_tag
def progress_bar(job: Job) -> SafeString:
    """Done, failed, uncertain, waiting, skipped and cancelled side by side; the rest is empty."""
    parts = [share for share in shares(job) if share.count]
    words = ", ".join(f"{share.count:,} {share.word}" for share in parts) or "no records"
    drawn = [share for share in parts if share.status != "queued"]
    widths = _widths([share.count for share in drawn], job.total_count)
    rects, x = [], 0.0
    for share, width in zip(drawn, widths, strict=True):
        rects.append((share.status, f"{x:.1f}", f"{width:.1f}", share.count, share.word))
        x += width
    inner = format_html_join(
        "",
        '<rect class="{}" x="{}" width="{}" height="7"><title>{} {}</title></rect>',
        rects,
    )
    return format_html(
        '<svg class="run-bar" viewBox="0 0 {} 7" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        BAR_WIDTH, words, inner,
    )  # fmt: skip


def _widths(counts: list[int], total: int) -> list[float]:
    if not total:
        return []
    widths = [max(BAR_WIDTH * count / total, NARROWEST) for count in counts]
    surplus = sum(widths) - BAR_WIDTH
    if surplus > 0:
        widest = widths.index(max(widths))
        widths[widest] -= surplus
    return widths


@register.simple_tag
def job_version(job: Job) -> int:
    """What a push has to exceed to be news (jobs/live/facts.py)."""
    return version_of(job.event_count, job.finished_count)


@register.simple_tag
def run_counts(job: Job) -> str:
    """ "1,842 of 5,000 · 3 failed · 120 waiting": what a run's row says."""
    parts = [f"{job.processed_count:,} of {job.total_count:,}"]
    told = {"failed", "waiting", "uncertain"} | ({"cancelled"} if job.is_active else set())
    parts += [f"{s.count:,} {s.word}" for s in shares(job) if s.count and s.status in told]
    return " · ".join(parts)


@register.filter
def per_second(rate: float | None) -> str:
    """Records a second for people: "320/s", "4.2/s", "18/min"."""
    if rate is None:
        return "not enough data yet"
    if rate >= 10 or rate == 0:
        return f"{rate:,.0f}/s"
    if rate >= 1:
        return f"{rate:.1f}/s"
    return f"{rate * 60:.0f}/min" if rate * 60 >= 1 else f"{rate * 3600:.0f}/h"


WAIT_WORDS = {
    "approval": "waiting for approval",
    "callback": "waiting for an answer from outside",
    "until": "waiting for its time",
}


@register.simple_tag
def record_line(record: Record, steps: list[dict[str, Any]]) -> str:
    """What became of a record, or where it stands, in a few words."""
    if record.status in {RecordStatus.FAILED, RecordStatus.UNCERTAIN}:
        return record.error or "no error was given"
    if record.status == RecordStatus.WAITING:
        return WAIT_WORDS.get(record.wait_kind, "waiting")
    if record.status == RecordStatus.RUNNING and steps:
        number = min(max(record.next_step, 1), len(steps))
        return f"step {number} of {len(steps)} · {steps[number - 1]['name']}"
    if record.outcome:
        shown = [str(v) for v in record.outcome_metadata.values() if isinstance(v, str | int)][:1]
        return " · ".join([record.outcome, *shown])
    if record.status in {RecordStatus.SKIPPED, RecordStatus.CANCELLED}:
        return record.error
    return ""


@register.simple_tag
def record_time(record: Record, job: Job | None = None) -> str:
    """How long it was worked on; of one under way, how long it has been since it (re)started."""
    if record.started_at is None:
        return ""
    if record.status == RecordStatus.RUNNING:
        resumed_at = (job or record.job).resumed_at
        return so_far(max(record.started_at, resumed_at or record.started_at))
    return ms(record.active_ms) if record.active_ms else ""


@register.filter
def so_far(since: datetime) -> str:
    return duration(max((timezone.now() - since).total_seconds(), 0))


@register.simple_tag
def unprocessed(job: Job) -> int:
    """Of an ended run: the records nobody worked on to an end (R2)."""
    return job.total_count - job.processed_count if job.is_final else 0


@register.filter
def excerpt(value: Any) -> str:
    """A journey's value as text: strings as they are, the rest as JSON, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…"


@register.simple_tag(takes_context=True)
def address(context: dict[str, Any], *, path: str = "", **changes: Any) -> str:
    """This page's address with some parameters set (or taken out, by an empty value)."""
    request = context["request"]
    params = request.GET.copy()
    for name, value in changes.items():
        params.pop(name, None)
        if value not in (None, ""):
            params[name] = value
    text = params.urlencode()
    return f"{path or request.path}?{text}" if text else path or request.path


@register.simple_tag(takes_context=True)
def address_without(context: dict[str, Any], name: str) -> str:
    """This page's address without one filter, and so from its first page."""
    return str(address(context, **{name: "", "after": "", "before": ""}))


@register.filter
def clock(at: datetime | None, form: str = "") -> SafeString:
    """The time of day, the date too where it is not today; the zone is one hover away.

    `form`: "seconds" for hh:mm:ss, "full" for always with the date.
    """
    if at is None:
        return SafeString("")
    local = timezone.localtime(at)
    time = f"{local:%H:%M:%S}" if form else f"{local:%H:%M}"
    if form == "full":
        text = f"{local.day} {local:%b %Y}, {time}"
    elif local.date() == timezone.localdate():
        text = time
    else:
        year = "" if local.year == timezone.localdate().year else f" {local.year}"
        text = f"{local.day} {local:%b}{year}" + (f", {time}" if form else "")
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(timespec="milliseconds"), f"{local:%Y-%m-%d %H:%M:%S %Z}", text,
    )  # fmt: skip


@register.filter
def run_length(job: Job) -> str:
    return duration(job.duration_seconds)


@register.simple_tag
def failure_of(record: Record) -> Failure:
    """What kind of failure it is, in plain words, and what to do about it."""
    return CATALOGUE.get(record.error_type) or CATALOGUE["unknown"]
