"""The first paint of the two indicators: the page is right before any socket is open."""

from itertools import groupby
from typing import Any

from django import template
from django.urls import reverse

from jobs.live import words
from jobs.live.first_paint import SHOWN, active_state
from jobs.statuses import JobStatus

register = template.Library()


@register.inclusion_tag("components/_active_jobs_panel.html", takes_context=True)
def active_jobs(context: dict[str, Any]) -> dict[str, Any]:
    """The sidebar's indicator and its panel; one query."""
    state = active_state(context["request"])
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
    state = active_state(context["request"])
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
