"""What the indicators say in a page's first paint, read once a request."""

import time
from typing import Any

from django.db.models import Case, Count, IntegerField, QuerySet, Value, When
from django.http import HttpRequest

from accounts.permissions import roles_of
from config.prepared import Prepared
from jobs.live import facts
from jobs.models import Job
from jobs.statuses import JobStatus

TOTALS = (JobStatus.RUNNING, JobStatus.WAITING, JobStatus.PENDING)

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
    """Their keys first: what is sorted is narrow, and only the few are joined."""
    rank = Case(
        When(status=JobStatus.RUNNING, then=Value(0)),
        When(status=JobStatus.WAITING, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    active = Job.objects.active().filter(team_id__in=team_ids)
    few = Job.objects.filter(id__in=active.order_by(rank, "-id").values("id")[:SHOWN])
    return facts.columns_of(few).values_list(*facts.NAMES)


_FIRST_FEW = Prepared(_first_few)
_COUNTS = Prepared(
    lambda team_ids: (
        Job.objects.active()
        .filter(team_id__in=team_ids)
        .order_by()
        .values_list("project_id", "status")
        .annotate(count=Count("id"))
    )
)


def _read(team_ids: list[int]) -> dict[str, Any]:
    totals = {status.value: 0 for status in TOTALS}
    in_project: dict[str, int] = {}
    for project_id, status, count in _COUNTS.rows(team_ids=team_ids):
        totals[status] += count
        in_project[str(project_id)] = in_project.get(str(project_id), 0) + count
    rows = _FIRST_FEW.dicts(team_ids=team_ids) if in_project else []
    jobs = [facts.fact_of(row) for row in rows]
    rank_of = {"running": 0, "waiting": 1, "pending": 2}
    jobs.sort(key=lambda j: (j["project"], j["project_id"], rank_of[j["status"]], j["id"]))
    for job in jobs:
        in_project.setdefault(str(job["project_id"]), 1)  # came between the two statements
    now = round(time.time() * 1000)
    return {"now": now, "jobs": jobs, "totals": totals, "in_project": in_project}
