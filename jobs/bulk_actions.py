"""Many jobs at once: who would be touched, starting it, and working through it in the background.

    (a) start ─▶ PENDING ──(b) claimed──▶ RUNNING ──(c) no job left──▶ DONE
                    └──────(d) abort──────┴─────────────────────────▶ ABORTED

A worker claims the action by one conditional UPDATE with a lease; each job's verb and its item
are one transaction, so a worker that takes over finds what was done and does nothing twice.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.http import Http404, QueryDict

from accounts.models import Team, User
from accounts.permissions import Actor, Right, allows, role_in
from accounts.usage import meters
from jobs.execution import dispatch
from jobs.execution.dispatch import Refused
from jobs.filtersets.jobs import JobFilterSet
from jobs.models import BulkAction, BulkActionItem, Job
from jobs.models.bulk import BulkKind, BulkStatus
from jobs.models.jobs import REPORTED_KINDS
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus

log = logging.getLogger("spindle.bulk")
SLICE = 50
SLICES_A_TASK = 20
LEASE = timedelta(seconds=60)
MOST_TICKED = 1_000
MOST_NAMED = 10


@dataclass(slots=True)
class Forecast:
    """What a confirmation says: how many will act, how many not and why."""

    total: int = 0
    acts: int = 0
    skips: list[tuple[str, int]] = field(default_factory=list)
    note: str = ""  # what may stop some of them on the way
    named: dict[str, list[int]] = field(default_factory=dict)  # reason → jobs, of ticked ones

    @property
    def skipped_jobs(self) -> list[tuple[str, int, list[int], int]]:
        """(reason, how many, the first of them, how many more) of each reason to skip."""
        found = [(why, count, self.named.get(why, [])[:MOST_NAMED]) for why, count in self.skips]
        return [(why, count, ids, count - len(ids)) for why, count, ids in found]

    @property
    def skipped(self) -> int:
        return sum(count for _, count in self.skips)


def chosen_jobs(team_ids: Iterable[int], selection: dict) -> QuerySet[Job]:  # type: ignore[type-arg]
    """The jobs a selection names, in these teams: {"ids": […]} or {"filter": "status=failed"}."""
    jobs = Job.objects.of_teams(team_ids)
    if "ids" in selection:
        return jobs.filter(pk__in=selection["ids"][:MOST_TICKED])
    filterset = JobFilterSet(QueryDict(selection.get("filter", "")), queryset=jobs)
    # A filter that does not parse must never widen to every job.
    return filterset.qs if filterset.is_valid() else jobs.none()


def forecast(
    kind: str, jobs: QuerySet[Job], operable: Iterable[int], *, is_named: bool = False
) -> Forecast:
    """Counts the selection once more, now (J15, J16). One grouped query; two a team to resend.

    With `is_named`, for ticked jobs, those that are skipped are named too.
    """
    operable = set(operable)
    groups: Any = (
        jobs.order_by()
        .values(*(["pk"] if is_named else []), "team_id", "status", is_asked=Q(cancel_requested_at__isnull=False),
                is_resent=Q(resent_as__isnull=False), is_reported=Q(kind__in=REPORTED_KINDS),
                is_gone=Q(pipeline__isnull=True),
                is_unpublished=Q(pipeline__archived_at__isnull=False)
                | Q(pipeline__current_version__isnull=True))
        .annotate(count=Count("pk"), record_count=Sum("total_count"))
    )  # fmt: skip
    found = Forecast()
    skips: Counter[str] = Counter()
    wanted: dict[int, tuple[int, int]] = {}  # team → (jobs, records) that would be made
    for group in groups:
        team_id, count, records = (
            group.pop("team_id"),
            group.pop("count"),
            group.pop("record_count"),
        )
        job_id = group.pop("pk", None)
        found.total += count
        if why := skip_reason(kind, **group, may_operate=team_id in operable):
            skips[why] += count
            if job_id is not None:
                found.named.setdefault(why, []).append(job_id)
        else:
            found.acts += count
            before = wanted.get(team_id, (0, 0))
            wanted[team_id] = (before[0] + count, before[1] + records)
    if kind == BulkKind.RESEND:
        _heed_plans(found, skips, wanted)
    found.skips = skips.most_common()
    return found


def _heed_plans(found: Forecast, skips: Counter[str], wanted: dict[int, tuple[int, int]]) -> None:
    """What the teams' plans of this month do not hold. How the jobs share the records that are left
    is known only on the way, so of those no more is said than that some may not fit.
    """
    for team in Team.objects.filter(pk__in=wanted):
        count, records = wanted[team.pk]
        of_jobs, of_records = meters(team)
        if of_jobs.allowed is not None:
            beyond = min(max(count - max(of_jobs.allowed - of_jobs.used, 0), 0), count)
            found.acts -= beyond
            if beyond:
                skips[f"the plan's {of_jobs.allowed:,} jobs of this month are used up"] += beyond
        if of_records.allowed is not None:
            left = max(of_records.allowed - of_records.used, 0)
            if records > left:
                found.note = (
                    f"They need {records:,} records, and {left:,} of the plan's"
                    f" {of_records.allowed:,} are left this month: what does not fit is skipped."
                )


def skip_reason(
    kind: str, status: str, *, is_asked: bool, is_resent: bool, is_reported: bool, is_gone: bool,
    is_unpublished: bool, may_operate: bool,
) -> str:  # fmt: skip
    if not may_operate:
        return "your role in its team does not allow it"
    if kind == BulkKind.CANCEL:
        if status not in ACTIVE_JOB_STATUSES:
            return f"already {JobStatus(status).label.lower()}"
        return "already being cancelled" if is_asked else ""
    if status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
        return f"{JobStatus(status).label.lower()}: only failed and cancelled jobs are resent"
    if is_reported:
        return "another program does this work: start it again there"
    if is_resent:
        return "already resent"
    if is_gone:
        return "what it ran has been deleted"
    return "what it ran is archived or not published" if is_unpublished else ""


def start(
    kind: str, actor: Actor, *, team_ids: Iterable[int], selection: dict, launch_key: str,
    effort: str = "",
) -> BulkAction:  # fmt: skip
    """Write the action down and hint at the workers. The same key again is the same action."""
    team_ids = sorted(team_ids)
    jobs = chosen_jobs(team_ids, selection)
    facts = jobs.aggregate(count=Count("pk"), ceiling=Max("pk"))
    if not facts["count"]:
        raise Refused("No job is chosen.", code="NOT_ACTIVE")
    try:
        with transaction.atomic():
            action = BulkAction.objects.create(
                kind=kind, actor=actor.user, actor_name=actor.name, team_ids=team_ids,
                selection=selection, effort_level=effort, launch_key=launch_key,
                ceiling_id=facts["ceiling"], total_count=facts["count"],
            )  # fmt: skip
            transaction.on_commit(hint)
    except IntegrityError:
        return BulkAction.objects.get(launch_key=launch_key)
    return action


def hint() -> None:
    """Wake a worker. A lost message costs some seconds: beat asks again."""
    from jobs.tasks import work_on_bulk_actions  # the task imports this module

    try:
        work_on_bulk_actions.apply_async(retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 -- every transport has errors of its own
        log.warning("The broker took no message (%s); beat will send it again.", error)


def abort(action: BulkAction, actor: Actor) -> BulkAction:
    """Stop before the next job; what was done stays done. Harmless when it has ended."""
    BulkAction.objects.filter(
        pk=action.pk, status__in=[BulkStatus.PENDING, BulkStatus.RUNNING], abort_requested_at=None
    ).update(abort_requested_at=Now(), abort_requested_by_name=actor.name)
    BulkAction.objects.filter(
        pk=action.pk, status=BulkStatus.PENDING, abort_requested_at__isnull=False
    ).update(status=BulkStatus.ABORTED, finished_at=Now())
    action.refresh_from_db()
    return action


def claim_next() -> BulkAction | None:
    """The oldest action that nobody works on, taken by one conditional UPDATE."""
    free = BulkAction.objects.filter(
        Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now()),
        status__in=[BulkStatus.PENDING, BulkStatus.RUNNING],
    )
    for pk in list(free.order_by("pk").values_list("pk", flat=True)[:5]):
        owner = uuid.uuid4().hex
        taken = free.filter(pk=pk).update(
            lease_owner=owner, lease_expires_at=Now() + LEASE, status=BulkStatus.RUNNING
        )
        if taken:
            BulkAction.objects.filter(pk=pk, started_at=None).update(started_at=Now())
            return BulkAction.objects.get(pk=pk)
    return None


def work() -> int:
    """Work on the open actions that are free, a thousand jobs at most; how many ended.

    A long action gives its worker back in between, so that runs do not starve behind it.
    """
    ended = 0
    slices = 0
    while slices < SLICES_A_TASK and (action := claim_next()):
        while work_slice(action):
            slices += 1
            if slices >= SLICES_A_TASK:
                _let_go(action)
                hint()
                return ended
            action.refresh_from_db()
        ended += 1
    return ended


def _let_go(action: BulkAction) -> None:
    BulkAction.objects.filter(pk=action.pk, lease_owner=action.lease_owner).update(
        lease_owner="", lease_expires_at=None
    )


def work_slice(action: BulkAction) -> bool:
    """The next jobs of an action; False when it has ended or another worker has it."""
    held = BulkAction.objects.filter(
        pk=action.pk, lease_owner=action.lease_owner, status=BulkStatus.RUNNING
    )
    if action.abort_requested_at:
        held.update(status=BulkStatus.ABORTED, finished_at=Now(), lease_owner="")
        return False
    jobs = _next_jobs(action)
    if not jobs:
        held.update(status=BulkStatus.DONE, finished_at=Now(), lease_owner="")
        return False
    operable = _operable_teams(action)
    with dispatch.one_hint():
        for job in jobs:
            if not held.update(lease_expires_at=Now() + LEASE):
                return False
            if BulkAction.objects.filter(pk=action.pk).exclude(abort_requested_at=None).exists():
                return True  # ended at the next call
            _act_once(action, job, held, may_operate=job.team_id in operable)
    return True


def _next_jobs(action: BulkAction) -> list[Job]:
    below = action.cursor_id if action.cursor_id is not None else action.ceiling_id + 1
    jobs = chosen_jobs(action.team_ids, action.selection)
    # A status filter would lose the jobs that this very action has changed or that ended since:
    # the walk keeps to ids below the cursor, so each is looked at once.
    return list(
        jobs.filter(pk__lt=below).order_by("-pk").select_related("resent_as", "pipeline")[:SLICE]
    )


def _act_once(
    action: BulkAction, job: Job, held: QuerySet[BulkAction], *, may_operate: bool
) -> None:
    """The verb, its item and the counters in one transaction."""
    with transaction.atomic():
        made, why = None, skip_reason(
            action.kind, job.status, is_asked=job.cancel_requested_at is not None,
            is_resent=getattr(job, "resent_as", None) is not None,
            is_reported=job.kind in REPORTED_KINDS, is_gone=job.pipeline is None,
            is_unpublished=job.pipeline is not None
            and (job.pipeline.archived_at is not None or job.pipeline.current_version_id is None),
            may_operate=may_operate,
        )  # fmt: skip
        if not why:
            made, why = _act(action, job)
        BulkActionItem.objects.get_or_create(
            bulk_action=action, job=job, defaults={"made_job": made, "skipped_reason": why[:200]}
        )
        counter = "skipped_count" if why else "acted_count"
        held.update(cursor_id=job.pk, **{counter: F(counter) + 1})


def _act(action: BulkAction, job: Job) -> tuple[Job | None, str]:
    actor = Actor(user=action.actor, name=action.actor_name)
    try:
        with transaction.atomic():
            if action.kind == BulkKind.CANCEL:
                dispatch.cancel(job, actor)
                return None, ""
            made, is_new = dispatch.resend(job, actor, effort=action.effort_level or None)
            return (made, "") if is_new else (None, "already resent")
    except Refused as refusal:
        return None, str(refusal)


def _operable_teams(action: BulkAction) -> set[int]:
    """Asked again for every slice: a right may have been lost since."""
    actor: User | None = action.actor
    if actor is None:
        return set()
    return {team for team in action.team_ids if _may_operate(actor, team)}


def _may_operate(user: User, team_id: int) -> bool:
    try:
        return allows(role_in(user, team_id), Right.OPERATE)
    except Http404:
        return False
