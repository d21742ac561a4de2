"""What the indicators say in a page's first paint, read once a request by one statement."""

import time
from typing import Any

from django.db.models import Case, Count, F, IntegerField, QuerySet, Value, When, Window
from django.http import HttpRequest

from accounts.permissions import roles_of
from config.prepared import Prepared
from jobs.live import facts
from jobs.models import Job
from jobs.statuses import JobStatus

TOTALS = (JobStatus.RUNNING, JobStatus.WAITING, JobStatus.PENDING)
COUNTS = (*(f"all_{status}" for status in TOTALS), "of_project")

# The newest few are enough before the socket's snapshot, which brings up to 50 (docs/live.md):
# every page pays for this list.
SHOWN = 12


def active_state(request: HttpRequest) -> dict[str, Any]:
    """`jobs` are the facts of the first few active jobs the user may see; `totals` counts all of
    them by status, `in_project` by project; `now` in milliseconds.
    """
    if not hasattr(request, "_active_state"):
        request._active_state = _read(sorted(roles_of(request)))  # type: ignore[attr-defined]
    state: dict[str, Any] = request._active_state  # type: ignore[attr-defined]
    return state


def _first_few(team_ids: list[int]) -> QuerySet[Job, Any]:
    rank = Case(
        When(status=JobStatus.RUNNING, then=Value(0)),
        When(status=JobStatus.WAITING, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    jobs = (
        Job.objects.active()
        .filter(team_id__in=team_ids)
        .annotate(
            **{f"all_{status}": _total(status) for status in TOTALS},
            of_project=Window(Count("id"), partition_by=F("project_id")),
        )
        .order_by(rank, "-id")[:SHOWN]
    )
    return facts.columns_of(jobs).values_list(*facts.NAMES, *COUNTS)


def _total(status: str) -> Window:
    """How many of all active jobs have a status, beside every row of the first few."""
    return Window(Count(Case(When(status=status, then=Value(1)))))


_FIRST_FEW = Prepared(_first_few)


def _read(team_ids: list[int]) -> dict[str, Any]:
    totals = {status.value: 0 for status in TOTALS}
    jobs = []
    in_project = {}
    for row in _FIRST_FEW.dicts(team_ids=team_ids):
        totals = {status.value: row[f"all_{status}"] for status in TOTALS}
        in_project[str(row["project_id"])] = row["of_project"]
        jobs.append(facts.fact_of(row))
    rank_of = {"running": 0, "waiting": 1, "pending": 2}
    jobs.sort(key=lambda j: (j["project"], j["project_id"], rank_of[j["status"]], j["id"]))
    now = round(time.time() * 1000)
    return {"now": now, "jobs": jobs, "totals": totals, "in_project": in_project}
