"""The first paint of the two indicators: the page is right before any socket is open."""

import time
from itertools import groupby
from typing import Any

from django import template
from django.db.models import Case, Count, F, IntegerField, Value, When, Window
from django.urls import reverse

from jobs.live import facts, words
from jobs.models import Job
from jobs.statuses import JobStatus

register = template.Library()

TOTALS = (JobStatus.RUNNING, JobStatus.WAITING, JobStatus.PENDING)

# The newest few are enough before the socket's snapshot, which brings up to 50 (docs/live.md):
# every page pays for this list.
SHOWN = 12


@register.inclusion_tag("components/_active_jobs_panel.html", takes_context=True)
def active_jobs(context: dict[str, Any]) -> dict[str, Any]:
    """The sidebar's indicator and its panel; one query."""
    state = _state(context)
    groups = [
        {
            "name": name,
            "count": state["in_project"][str(project_id)],
            "jobs": [words.row_of(job, state["now"]) for job in jobs],
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
        "jobs_url": reverse("jobs:list"),
    }


@register.inclusion_tag("components/_active_action_chip.html", takes_context=True)
def active_action(context: dict[str, Any]) -> dict[str, Any]:
    """The header's chip: the most recent backend job, and how many others."""
    state = _state(context)
    actions = sorted(
        (job for job in state["jobs"] if job["status"] != JobStatus.WAITING),
        key=lambda job: job["started"] or job["created"],
    )
    count = state["totals"]["running"] + state["totals"]["pending"]
    return {"latest": actions[-1] if actions else None, "others": count - 1}


def indicator_label(totals: dict[str, int]) -> str:
    """ "3 jobs running", else "2 jobs pending", else what waits, else "No active jobs"."""
    for status in ("running", "pending", "waiting"):
        count = totals[status]
        if count:
            return f"{count:,} job{'' if count == 1 else 's'} {status}"
    return "No active jobs"


def _state(context: dict[str, Any]) -> dict[str, Any]:
    """Asked by both tags of a page, read once a request."""
    request = context["request"]
    if not hasattr(request, "_active_jobs_state"):
        request._active_jobs_state = _read(request.user)
    return request._active_jobs_state


def _read(user: Any) -> dict[str, Any]:
    rank = Case(
        When(status=JobStatus.RUNNING, then=Value(0)),
        When(status=JobStatus.WAITING, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    jobs = (
        Job.objects.visible_to(user)
        .active()
        .annotate(
            **{f"all_{status}": _total(status) for status in TOTALS},
            of_project=Window(Count("id"), partition_by=F("project_id")),
        )
        .order_by(rank, "-id")[:SHOWN]
    )
    rows, extra = facts.load_with(jobs, *(f"all_{status}" for status in TOTALS), "of_project")
    totals = {status.value: 0 for status in TOTALS}
    in_project = {}
    for row, (*counts, of_project) in zip(rows, extra, strict=True):
        totals = {s.value: n for s, n in zip(TOTALS, counts, strict=True)}
        in_project[str(row["project_id"])] = of_project
    rank_of = {"running": 0, "waiting": 1, "pending": 2}
    rows.sort(key=lambda j: (j["project"], j["project_id"], rank_of[j["status"]], j["id"]))
    now = round(time.time() * 1000)
    return {"now": now, "jobs": rows, "totals": totals, "in_project": in_project}


def _total(status: str) -> Window:
    """How many of all active jobs have a status, beside every row of the first few."""
    return Window(Count(Case(When(status=status, then=Value(1)))))
