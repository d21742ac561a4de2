"""Lists of jobs as most of them are asked for, by statements built once a process.

`filters` names columns and their values: {"workflow_slug": "se-work", "status": "failed"}; for
a ticket what `ticket_filters` makes of the text.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Case, CharField, Count, Exists, F, JSONField, OuterRef, Q, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Concat
from django.db.models.lookups import BuiltinLookup

from config.prepared import Prepared
from jobs.models import Job, ListedJob
from jobs.querysets.jobs import JobQuerySet, id_in, spellings
from jobs.querysets.keyset import KeysetPage
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus

COLUMNS = frozenset({"workflow_slug", "agent_name", "effort_level", "status"})
PATTERNS = ("ticket_pattern", "upper_ticket_pattern")
MOST_EXACT = 5
TICKET_KEY = F("ticket_key")
MOST_OF_A_NUMBER = 1_000
PlainFilters = Mapping[str, str | Sequence[int]]


@CharField.register_lookup
class Like(BuiltinLookup):  # type: ignore[type-arg]
    """`LIKE` with the pattern given as it is, wildcards included, as a prepared text must be."""

    lookup_name = "like"

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        return str(connection.operators["startswith"] % rhs)


def ticket_filters(text: str) -> dict[str, str]:
    """As `JobQuerySet.with_ticket` reads the text: a number, or how keys begin."""
    if text.isdigit():
        return {"ticket_number": text}
    beginnings = [f"{connection.ops.prep_for_like_query(each)}%" for each in spellings(text)]
    return dict(zip(PATTERNS, beginnings, strict=False))


def looked_up(team_id: int, filters: PlainFilters) -> PlainFilters:
    """With the jobs of a ticket's number in its place: they are few, and found without an order
    (`JobQuerySet.with_ticket` says why).
    """
    if "ticket_number" not in filters:
        return filters
    others = {name: value for name, value in filters.items() if name != "ticket_number"}
    found = _OF_NUMBER.rows(team_id=team_id, number=filters["ticket_number"])
    return {**others, "job_ids": [job_id for (job_id,) in found]}


def page_of_team(
    team_id: int,
    filters: PlainFilters,
    after: str,
    size: int,
) -> KeysetPage[ListedJob]:
    """As `keyset.page_of` gives it for `after`, of whole rows."""
    is_later = after.isascii() and after.isdigit() and len(after) < 19
    values = {**filters, "after": int(after)} if is_later else filters
    statement = _page_statement(
        tuple(filters), size + 1, is_later=is_later, is_active=_is_active(filters)
    )
    found = listed(statement.rows(team_id=team_id, **values))
    rows = found[:size]
    return KeysetPage(
        rows=rows,
        after=str(rows[-1].id) if len(found) > size else "",
        before=str(rows[0].id) if rows and is_later else "",
    )


def running_of_team(team_id: int, filters: PlainFilters) -> int:
    """How many running jobs pass the filters, whatever they say of the status."""
    others = {name: value for name, value in filters.items() if name != "status"}
    found = _running_statement(tuple(others)).rows(team_id=team_id, **others)
    return int(found[0][1]) if found else 0


def exact_rows(team_ids: Sequence[int], text: str) -> list[ListedJob]:
    """The newest jobs whose key or id the text is in full: `SCRUM-329`, `3117`, `#3117`."""
    if (job_id := id_in(text)) is not None:
        found = _OF_ID.rows(team_ids=team_ids, job_id=job_id)
    else:
        statement = _OF_KEY if len(spellings(text)) == 1 else _OF_EITHER_KEY
        keys = dict(zip(("key", "other"), spellings(text), strict=False))
        found = statement.rows(team_ids=team_ids, **keys)
    return listed(found)


def rows_by_id(job_ids: Sequence[int]) -> list[ListedJob]:
    """In the order of the ids; a job deleted meanwhile is left out."""
    found = {job.id: job for job in listed(_OF_IDS.rows(job_ids=job_ids))}
    return [found[job_id] for job_id in job_ids if job_id in found]


def columns_of(jobs: JobQuerySet) -> Any:
    """A tuple a job, as ListedJob is made of it."""
    resends = Job.objects.filter(resend_of_id=OuterRef("id"))
    steps = Case(When(status=JobStatus.PENDING, then="steps"), output_field=JSONField(null=True))
    read = jobs.annotate(is_resent=Exists(resends), pending_steps=steps)
    return read.values_list(*ListedJob._fields)


def listed(rows: Iterable[tuple[Any, ...]]) -> list[ListedJob]:
    return [ListedJob._make(row) for row in rows]


def _is_active(filters: PlainFilters) -> bool:
    return filters.get("status") in ACTIVE_JOB_STATUSES


@cache
def _page_statement(
    names: tuple[str, ...], limit: int, *, is_later: bool, is_active: bool
) -> Prepared:
    def build(team_id: int, after: int = 0, **filters: Any) -> Any:
        jobs = _filtered(team_id, filters)
        # Written so that the small index of active jobs serves it.
        jobs = jobs.active() if is_active else jobs
        jobs = jobs.filter(id__lt=after) if is_later else jobs
        jobs = jobs.order_by("-id")[:limit]
        if not COLUMNS.issuperset(names):
            # A ticket's keys come first: they stand in the ticket's index. Asked for whole rows,
            # PostgreSQL would rather walk the table from its end, 22 ms beside 2.
            jobs = Job.objects.filter(id__in=jobs.values("id")).order_by("-id")
        return columns_of(jobs)

    _check(names)
    return Prepared(build)


@cache
def _running_statement(names: tuple[str, ...]) -> Prepared:
    def build(team_id: int, **filters: Any) -> Any:
        # Not by the ticket's index: PostgreSQL takes a beginning for rare, and would rather read
        # the rows of all its tickets to look for running ones.
        running = _filtered(team_id, filters, key=Concat("ticket_key", Value("")))
        running = running.active().filter(status=JobStatus.RUNNING)
        return running.order_by().values_list("team_id").annotate(count=Count("id"))

    _check(names)
    return Prepared(build)


def _filtered(
    team_id: int, filters: Mapping[str, Any], key: Combinable = TICKET_KEY
) -> JobQuerySet:
    ticket = Q()
    for name in PATTERNS:
        if name in filters:
            ticket |= Q(searched_key__like=filters[name])
    columns = {name: value for name, value in filters.items() if name in COLUMNS}
    jobs = Job.objects.filter(team_id=team_id, **columns)
    jobs = jobs.alias(searched_key=key).filter(ticket) if ticket else jobs
    return jobs.filter(id__in=filters["job_ids"]) if "job_ids" in filters else jobs


def _check(names: tuple[str, ...]) -> None:
    """So few that the statements stay few."""
    if unknown := set(names) - COLUMNS - {*PATTERNS, "job_ids"}:
        raise ValueError(f"No plain filters: {', '.join(sorted(unknown))}.")


def _exact(condition: Q, team_ids: Sequence[int]) -> Any:
    jobs = Job.objects.filter(condition, team_id__in=team_ids)
    return columns_of(jobs.order_by("-id")[:MOST_EXACT])


_OF_IDS = Prepared(lambda job_ids: columns_of(Job.objects.filter(id__in=job_ids)))
_OF_ID = Prepared(lambda team_ids, job_id: _exact(Q(id=job_id), team_ids))
_OF_KEY = Prepared(lambda team_ids, key: _exact(Q(ticket_key=key), team_ids))
_OF_EITHER_KEY = Prepared(
    lambda team_ids, key, other: _exact(Q(ticket_key=key) | Q(ticket_key=other), team_ids)
)
_OF_NUMBER = Prepared(
    lambda team_id, number: (
        Job.objects.filter(team_id=team_id)
        .of_ticket_number(number)
        .values_list("id")[:MOST_OF_A_NUMBER]
    )
)
