"""What a team's rule lets go of: journeys, events and records of jobs that ended long ago.

    ended, older than the rule ──(a) begin──▶ is_pruning ──(b) slices──▶ pruned

(a) is one conditional UPDATE that sets `*_pruned_at`: from then on pages say that the job is pruned,
and nothing reopens it (retrying.py, resolution.py). (b) are short transactions, each over at most
SLICE rows of a kind; what is left over comes in the next round. The job, its counters and step
counts stay, and so does the `job.pruned` event that says by which rule. Run by beat.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accounts.models import Retention, Team
from accounts.retention import GRACE
from jobs import clock
from jobs.events import EventKind
from jobs.models import (
    Batch,
    Callback,
    Delivery,
    Follow,
    Job,
    JobEvent,
    LateReport,
    Notice,
    Record,
    RecordMinute,
    StepMinute,
)
from jobs.statuses import FINAL_JOB_STATUSES

SLICE = 500  # rows of one kind a transaction
ROUND_ROWS = 20_000
ROUND_SECONDS = 3.0
BEGIN = 200  # jobs marked at once
MINUTES_KEPT = timedelta(days=400)
NOTICES_KEPT = timedelta(days=90)

# What each rule lets go of, and the team's field that holds its days.
RULES = {
    "records": "record_retention_days",
    "journeys": "journey_retention_days",
    "events": "event_retention_days",
}


@dataclass(slots=True)
class Budget:
    """How much one round may still do."""

    rows: int
    ends_at: float  # monotonic

    @property
    def is_left(self) -> bool:
        return self.rows > 0 and time.monotonic() < self.ends_at


def prune_round(
    *, now: datetime | None = None, rows: int = ROUND_ROWS, seconds: float = ROUND_SECONDS
) -> Counter[str]:
    """One bounded round over all teams; how many records, journeys and events went.

    The team whose turn was longest ago comes first, and none takes more than its share of rows.
    """
    now = now or clock.now()
    budget = Budget(rows, time.monotonic() + seconds)
    gone: Counter[str] = Counter()
    teams = list(_teams())
    share = max(SLICE, rows // max(len(teams), 1))
    for team in teams:
        if not budget.is_left:
            break
        if _take_turn(team.pk, now):
            gone += _prune_team(team, now, budget, share)
    _prune_minutes(now)
    _prune_notices(now)
    return gone


def _teams() -> "QuerySet[Team]":
    has_rule = Q()
    for field in RULES.values():
        has_rule |= Q(**{f"{field}__gt": 0})
    begun = Job.objects.filter(team=OuterRef("pk"), is_pruning=True)
    return (
        Team.objects.filter(has_rule | Exists(begun))
        .select_related("retention")
        .order_by(F("retention__round_at").asc(nulls_first=True), "pk")
    )


def _take_turn(team_id: int, now: datetime) -> bool:
    """False where another round has just been at this team, or its new rule does not hold yet."""
    Retention.objects.get_or_create(team_id=team_id)
    just_now = now - timedelta(seconds=settings.RETENTION_SECONDS / 2)
    return bool(
        Retention.objects.filter(
            Q(round_at=None) | Q(round_at__lt=just_now),
            Q(changed_at=None) | Q(changed_at__lte=now - GRACE),
            team_id=team_id,
        ).update(round_at=now)
    )


def _prune_team(team: Team, now: datetime, budget: Budget, share: int) -> Counter[str]:
    cutoffs = {
        what: now - timedelta(days=days)
        for what, field in RULES.items()
        if (days := getattr(team, field))
    }
    gone: Counter[str] = Counter()
    stop_at = budget.rows - share
    is_behind = False
    while group := _group(team.pk) or (_begin(team, cutoffs, now) and _group(team.pk)):
        if not budget.is_left or budget.rows <= stop_at:
            is_behind = True
            break
        counts = _prune_slice(group, now)
        budget.rows -= max(counts.total(), 1)
        gone += counts
    fields: dict[str, Any] = {"is_behind": is_behind}
    if gone:
        fields |= {
            "pruned_at": now, "record_count": gone["records"],
            "journey_count": gone["journeys"], "event_count": gone["events"],
        }  # fmt: skip
    Retention.objects.filter(team_id=team.pk).update(**fields)
    return gone


# --- (a) begin ---------------------------------------------------------------------------------


def _begin(team: Team, cutoffs: dict[str, datetime], now: datetime) -> int:
    """Mark the next ended jobs that a rule has come to; how many."""
    for what, cutoff in cutoffs.items():
        oldest = _due(what, cutoff).filter(team=team, is_pruning=False).order_by("completed_at")
        ids = list(oldest.values_list("pk", flat=True)[:BEGIN])
        if ids:
            return _mark(team, ids, cutoffs, now)
    return 0


def _due(what: str, cutoff: datetime) -> "QuerySet[Job]":
    return Job.objects.filter(
        status__in=FINAL_JOB_STATUSES, completed_at__lt=cutoff, **{f"{what}_pruned_at": None}
    )


@transaction.atomic
def _mark(team: Team, ids: list[int], cutoffs: dict[str, datetime], now: datetime) -> int:
    """The conditions are asked again by the UPDATE: a job may have been reopened meanwhile."""
    for what, cutoff in cutoffs.items():
        fields: dict[str, Any] = {"is_pruning": True, f"{what}_pruned_at": now}
        if what != "events":
            fields["prune_cursor"] = 0
        _due(what, cutoff).filter(pk__in=ids).update(**fields)
    marked = Job.objects.filter(pk__in=ids, is_pruning=True)
    marked.update(event_count=F("event_count") + 1)
    events = [_told(job, team, now) for job in marked.defer("input", "output", "steps")]
    JobEvent.objects.bulk_create(events)
    # With its records a job has no journeys either: that rule need not come back to it.
    marked.filter(records_pruned_at=now, journeys_pruned_at=None).update(journeys_pruned_at=now)
    return len(events)


def _told(job: Job, team: Team, now: datetime) -> JobEvent:
    """Not announced: to a screen, a job of long ago has nothing new."""
    days = {
        what: getattr(team, field)
        for what, field in RULES.items()
        if getattr(job, f"{what}_pruned_at") == now
    }
    rules = "; ".join(f"{what} are kept for {count} days" for what, count in days.items())
    return JobEvent(
        job=job, number=job.event_count, kind=EventKind.PRUNED, actor_name="Spindle", at=now,
        message=f"Pruned by the team's rule: {rules}.", payload={"days": days},
    )  # fmt: skip


# --- (b) slices --------------------------------------------------------------------------------


def _group(team_id: int) -> list[Job]:
    """Small jobs whose rows together make a slice, or one big job."""
    group: list[Job] = []
    weight = 0
    marked = Job.objects.filter(team_id=team_id, is_pruning=True).order_by("pk")
    for job in marked.defer("input", "output", "steps")[:BEGIN]:
        weight += job.total_count + job.event_count
        if group and weight > SLICE:
            break
        group.append(job)
    return group


@transaction.atomic
def _prune_slice(group: Sequence[Job], now: datetime) -> Counter[str]:
    """The next rows of a group; where none are left, the group is done."""
    with_records = [job for job in group if job.records_pruned_at]
    counts = Counter(
        records=_prune_records(with_records),
        journeys=_prune_journeys([job for job in group if not job.records_pruned_at], now),
        events=_prune_events([job for job in group if job.events_pruned_at]),
    )
    if counts["records"] < SLICE:
        counts["batches"] = _prune_rest(with_records)
    # Several jobs are together no more than a slice, but for their batches.
    if counts["batches"] < SLICE and (len(group) > 1 or max(counts.values()) < SLICE):
        Job.objects.filter(pk__in=[job.pk for job in group]).update(
            is_pruning=False, prune_cursor=F("total_count")
        )
    return counts


def _next_records(group: Sequence[Job]) -> list[int]:
    """By position, behind the cursor: no slice of a big job reads what an earlier one did."""
    if not group:
        return []
    ahead = Record.objects.filter(job_id__in=[job.pk for job in group])
    if len(group) == 1:
        ahead = ahead.filter(position__gt=group[0].prune_cursor)
    else:
        ahead = ahead.filter(position__gt=F("job__prune_cursor"))
    found = list(ahead.order_by("job_id", "position").values_list("pk", "position")[:SLICE])
    if found and len(group) == 1:
        Job.objects.filter(pk=group[0].pk).update(prune_cursor=found[-1][1])
    return [pk for pk, _ in found]


def _prune_records(group: Sequence[Job]) -> int:
    ids = _next_records(group)
    if ids:
        Callback.objects.filter(record__in=ids).delete()
        Record.objects.filter(pk__in=ids).only("pk").delete()
    return len(ids)


def _prune_journeys(group: Sequence[Job], now: datetime) -> int:
    """Status, outcome, error and times stay."""
    ids = _next_records([job for job in group if job.journeys_pruned_at])
    if ids:
        Callback.objects.filter(record__in=ids).delete()
        Record.objects.filter(pk__in=ids, journey_pruned_at=None).update(
            journey=[], values={}, journey_pruned_at=now
        )
    return len(ids)


def _prune_events(group: Sequence[Job]) -> int:
    """What happened after the pruning (a resend, say) stays, as the pruning itself does."""
    if not group:
        return 0
    old = JobEvent.objects.filter(
        job_id__in=[job.pk for job in group], at__lt=F("job__events_pruned_at")
    ).exclude(kind=EventKind.PRUNED)
    ids = list(old.order_by("job_id", "number").values_list("pk", flat=True)[:SLICE])
    JobEvent.objects.filter(pk__in=ids).delete()
    return len(ids)


def _prune_rest(group: Sequence[Job]) -> int:
    """Batches and late reports, once their records are gone."""
    jobs = [job.pk for job in group]
    count = 0
    for model in (LateReport, Batch) if jobs else ():
        rows = model.objects.filter(job_id__in=jobs).values_list("pk", flat=True)
        ids = list(rows.order_by("pk")[:SLICE])
        model.objects.filter(pk__in=ids).only("pk").delete()
        count = max(count, len(ids))
    return count


def _prune_minutes(now: datetime) -> None:
    """Counts by the minute, oldest first: they are written in the order of time."""
    for model in (RecordMinute, StepMinute):
        oldest = model.objects.order_by("pk").values_list("pk", "minute")[:SLICE]
        ids = [pk for pk, minute in oldest if minute < now - MINUTES_KEPT]
        if ids:
            model.objects.filter(pk__in=ids).delete()


def _prune_notices(now: datetime) -> None:
    """The oldest notices with what was sent of them, and follows that tell nothing any more.

    A notice's follow goes with it: else a late retry would tell its reader a second time.
    """
    cutoff = now - NOTICES_KEPT
    oldest = Notice.objects.order_by("pk").values_list("pk", "job_id", "created_at")[:SLICE]
    old = {pk: job_id for pk, job_id, created_at in oldest if created_at < cutoff}
    if old:
        same = Notice.objects.filter(
            pk__in=old, job_id=OuterRef("job_id"), user_id=OuterRef("user_id")
        )
        with transaction.atomic():
            Follow.objects.filter(Exists(same), job_id__in=set(old.values())).delete()
            Delivery.objects.filter(notice__in=old).delete()
            Notice.objects.filter(pk__in=old).delete()
    ended = Follow.objects.filter(
        created_at__lt=cutoff, job__status__in=FINAL_JOB_STATUSES, job__completed_at__lt=cutoff
    )
    ids = list(ended.order_by("created_at").values_list("pk", flat=True)[:SLICE])
    if ids:
        Follow.objects.filter(pk__in=ids).delete()
