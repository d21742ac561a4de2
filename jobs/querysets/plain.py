"""Lists of jobs filtered by plain equality, which is most of them, by statements built once.

`filters` names columns and their values: {"workflow_slug": "se-work", "status": "failed"}.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.db.models import Count

from config.prepared import Prepared
from jobs.models import Job, ListedJob
from jobs.querysets.jobs import JobQuerySet
from jobs.querysets.keyset import KeysetPage
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus

COLUMNS = frozenset({"workflow_slug", "agent_name", "effort_level", "status"})


def page_of_team(
    team_id: int, filters: Mapping[str, str], after: str, size: int
) -> KeysetPage[ListedJob]:
    """As `keyset.page_of` gives it for `after`, of whole rows."""
    is_later = after.isascii() and after.isdigit() and len(after) < 19
    beyond = {"after": int(after)} if is_later else {}
    statement = _rows_statement(
        tuple(filters), size + 1, is_later=is_later, is_active=_is_active(filters)
    )
    found = [ListedJob._make(row) for row in statement.rows(team_id=team_id, **beyond, **filters)]
    rows = found[:size]
    return KeysetPage(
        rows=rows,
        after=str(rows[-1].id) if len(found) > size else "",
        before=str(rows[0].id) if rows and is_later else "",
    )


def running_of_team(team_id: int, filters: Mapping[str, str]) -> int:
    """How many running jobs pass the filters, whatever they say of the status."""
    others = {column: value for column, value in filters.items() if column != "status"}
    found = _running_statement(tuple(others)).rows(team_id=team_id, **others)
    return int(found[0][1]) if found else 0


def _is_active(filters: Mapping[str, str]) -> bool:
    return filters.get("status") in ACTIVE_JOB_STATUSES


@cache
def _rows_statement(
    columns: tuple[str, ...], limit: int, *, is_later: bool, is_active: bool
) -> Prepared:
    def build(team_id: int, after: int = 0, **filters: str) -> Any:
        jobs = _filtered(team_id, filters)
        # Written so that the small index of active jobs serves it.
        jobs = jobs.active() if is_active else jobs
        jobs = jobs.filter(id__lt=after) if is_later else jobs
        return jobs.order_by("-id").values_list(*ListedJob._fields)[:limit]

    _check(columns)
    return Prepared(build)


@cache
def _running_statement(columns: tuple[str, ...]) -> Prepared:
    def build(team_id: int, **filters: str) -> Any:
        running = _filtered(team_id, filters).active().filter(status=JobStatus.RUNNING)
        return running.order_by().values_list("team_id").annotate(count=Count("id"))

    _check(columns)
    return Prepared(build)


def _filtered(team_id: int, filters: Mapping[str, str]) -> JobQuerySet:
    return Job.objects.filter(team_id=team_id, **filters)


def _check(columns: tuple[str, ...]) -> None:
    """So few that the statements stay few."""
    if unknown := set(columns) - COLUMNS:
        raise ValueError(f"No plain filters: {', '.join(sorted(unknown))}.")
