"""The first paint of the two indicators: the page is right before any socket is open."""

from itertools import groupby
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString

from jobs.live import words
from jobs.live.first_paint import SHOWN, active_state
from jobs.notices.reading import MOST_COUNTED, unread_of
from jobs.statuses import JobStatus

register = template.Library()

# On every page, so one format string, as the rows of the list are (job_rows.py).
ROW = (
    '<li><a class="active-job" href="{url}"><span class="dot {status}" role="img" aria-label="{word}"></span>\n'
    '<span class="label">{label}{short_id}{stalled}</span>\n'
    '<span class="time">{time}</span>\n<span class="who">{who}</span></a></li>\n'
)


@register.inclusion_tag("components/_active_jobs_panel.html", takes_context=True)
def active_jobs(context: dict[str, Any]) -> dict[str, Any]:
    """The sidebar's indicator and its panel; two queries."""
    state = active_state(context["request"])
    jobs_url = reverse("jobs:list")
    groups = [
        {
            "name": name,
            "count": state["in_project"][str(project_id)],
            "rows": SafeString("".join([_row(job, state["now"], jobs_url) for job in jobs])),
        }
        for (name, project_id), jobs in groupby(
            state["jobs"], key=lambda j: (j["project"], j["project_id"])
        )
    ]
    totals = state["totals"]
    return {
        "state": state,
        "groups": groups,
        "label": indicator_label(totals),
        "is_running": totals["running"] > 0,
        "count": sum(totals.values()),
        "queued": totals["pending"] if totals["running"] and totals["pending"] else 0,
        "more": max(0, sum(totals.values()) - SHOWN),
        "jobs_url": jobs_url,
    }


def _row(job: dict[str, Any], now: int, jobs_url: str) -> str:
    row = words.row_of(job, now)
    return ROW.format(
        url=f"{jobs_url}/{job['id']}",
        status=words.shown_status(job),
        word=words.icon_word(job),
        label=escape(job["label"]),
        short_id=f' <span class="mono muted">#{job["short_id"]}</span>' if job["short_id"] else "",
        stalled=' <span class="pill warn">STALLED?</span>' if row["stalled"] else "",
        time=escape(row["time"]),
        who=escape(row["who"]),
    )


@register.inclusion_tag("components/_active_action_chip.html", takes_context=True)
def active_action(context: dict[str, Any]) -> dict[str, Any]:
    """The header's chip: the most recent backend job, and how many others."""
    state = active_state(context["request"])
    actions = sorted(
        (job for job in state["jobs"] if job["status"] != JobStatus.WAITING),
        key=lambda job: job["started"] or job["created"],
    )
    count = state["totals"]["running"] + state["totals"]["pending"]
    return {"latest": actions[-1] if actions else None, "others": count - 1}


@register.inclusion_tag("components/_bell_link.html", takes_context=True)
def bell(context: dict[str, Any]) -> dict[str, Any]:
    """The header's bell; one small query (none for who belongs to no team)."""
    count = unread_of(context["request"])
    shown = f"{MOST_COUNTED - 1}+" if count >= MOST_COUNTED else str(count)
    return {"count": count, "shown": shown, "words": bell_words(count, shown)}


def bell_words(count: int, shown: str) -> str:
    """As in config/static/js/bell.js."""
    return f"{shown} unread notice{'' if count == 1 else 's'}" if count else "No unread notices"


def indicator_label(totals: dict[str, int]) -> str:
    """ "3 jobs running", else "2 jobs pending", else what waits, else "No active jobs"."""
    for status in ("running", "pending", "waiting"):
        count = totals[status]
        if count:
            return f"{count:,} job{'' if count == 1 else 's'} {status}"
    return "No active jobs"
