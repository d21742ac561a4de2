"""Failures by cause: fast whatever their number.

A project may hold millions of failed records of a few causes. Over the whole project the causes
are found by hopping from one to the next along the index (project, cause, -id), and each is
counted up to a cap; narrowed by other filters, the newest failures only are grouped.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection
from django.db.models import Count, Max, Min, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from jobs.models import Record
from jobs.querysets.keyset import COUNT_CAP
from jobs.statuses import RecordStatus
from projects.models import Project

MOST_CAUSES = 200
NEWEST_GROUPED = 50_000


@dataclass(slots=True)
class CauseGroup:
    """`count` ends one past the cap: then it reads "10,000+"."""

    cause: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    example_id: int

    @property
    def is_capped(self) -> bool:
        return self.count > COUNT_CAP


HOP = """
WITH RECURSIVE hop(cause) AS (
    SELECT (SELECT r.cause FROM jobs_record r
            WHERE r.project_id = %(project)s AND r.status = 'failed'
            ORDER BY r.cause LIMIT 1)
    UNION ALL
    SELECT (SELECT r.cause FROM jobs_record r
            WHERE r.project_id = %(project)s AND r.status = 'failed' AND r.cause > hop.cause
            ORDER BY r.cause LIMIT 1)
    FROM hop WHERE hop.cause IS NOT NULL
), found(cause) AS (
    SELECT hop.cause FROM hop WHERE hop.cause IS NOT NULL LIMIT %(most)s
)
SELECT found.cause,
    (SELECT count(*) FROM (
        SELECT 1 AS one FROM jobs_record r
        WHERE r.project_id = %(project)s AND r.status = 'failed' AND r.cause = found.cause
        LIMIT %(cap)s) AS counted),
    (SELECT min(r.completed_at) FROM jobs_record r
     WHERE r.project_id = %(project)s AND r.status = 'failed' AND r.cause = found.cause),
    (SELECT max(r.completed_at) FROM jobs_record r
     WHERE r.project_id = %(project)s AND r.status = 'failed' AND r.cause = found.cause),
    (SELECT r.id FROM jobs_record r
     WHERE r.project_id = %(project)s AND r.status = 'failed' AND r.cause = found.cause
     ORDER BY r.id DESC LIMIT 1)
FROM found
"""


def causes_of_project(project: Project) -> list[CauseGroup]:
    """One statement; its cost grows with the number of causes, not of failures."""
    with connection.cursor() as cursor:
        cursor.execute(HOP, {"project": project.pk, "most": MOST_CAUSES, "cap": COUNT_CAP + 1})
        rows = cursor.fetchall()
    groups = [CauseGroup(c, n, _aware(first), _aware(last), pk) for c, n, first, last, pk in rows]
    return sorted(groups, key=lambda group: (-group.count, group.cause))


def causes_of(failed: QuerySet[Record]) -> tuple[list[CauseGroup], bool]:
    """The newest failures of a narrowed queryset, grouped; True: there are more than were read."""
    newest = failed.filter(status=RecordStatus.FAILED).order_by("-id").values("pk")
    grouped = (
        Record.objects.filter(pk__in=newest[:NEWEST_GROUPED]).order_by()
        .values("cause")
        .annotate(
            count=Count("pk"), first=Min("completed_at"), last=Max("completed_at"),
            example=Max("pk"),
        )
        .order_by("-count", "cause")[:MOST_CAUSES]
    )  # fmt: skip
    groups = [
        CauseGroup(g["cause"], g["count"], g["first"], g["last"], g["example"]) for g in grouped
    ]
    return groups, sum(group.count for group in groups) >= NEWEST_GROUPED


def _aware(value: datetime | str | None) -> datetime | None:
    """SQLite gives raw text in UTC, without a zone."""
    moment = parse_datetime(value) if isinstance(value, str) else value
    if moment is not None and timezone.is_naive(moment):
        return moment.replace(tzinfo=UTC)
    return moment
