"""What screens are told of a job: facts, never HTML.

One dict a job, the same in a snapshot, a push and the page's first paint. Times are
milliseconds since the epoch, lengths seconds.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from config.prepared import Prepared
from jobs import usual
from jobs.models import DurationRange, Job
from jobs.models.jobs import REPORTED_KINDS, JobKind
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus

# A version is the number of the last event, then how many records are finished: progress
# between two events counts as newer, and a browser drops whatever is older than what it has.
VERSION_STEP = 10_000_000_000

COLUMNS = (
    "id", "team_id", "project_id", "project__name", "project__slug", "kind", "status", "label",
    "agent_name", "job_type__label", "job_type__agent_label", "job_type__is_coding_task",
    "job_type__typical_min_seconds", "job_type__typical_max_seconds", "workflow_execution_id",
    "created_at", "started_at", "resumed_at", "completed_at", "cancel_requested_at",
    "error_type", "event_count", "total_count", "done_count", "failed_count", "skipped_count",
    "cancelled_count", "uncertain_count", "waiting_count", "ticket_key", "wait_began_at",
    "project__paused_at", "stalled_at", "options__pace_per_minute",
)  # fmt: skip
AT_ONCE = 1_000
LEARNED = ("low_seconds", "high_seconds", "record_low_seconds", "record_high_seconds")
NAMES = (*COLUMNS, *LEARNED)


def load(jobs: QuerySet[Job]) -> list[dict[str, Any]]:
    """Facts of the given jobs, in their order; one query."""
    return [fact_of(row) for row in columns_of(jobs).values(*NAMES)]


def load_ids(job_ids: Collection[int]) -> list[dict[str, Any]]:
    """Facts of these jobs, the newest first of each thousand; one query a thousand."""
    ids = sorted(job_ids, reverse=True)
    parts = (ids[at : at + AT_ONCE] for at in range(0, len(ids), AT_ONCE))
    return [fact_of(row) for part in parts for row in _BY_ID.dicts(job_ids=part)]


def load_active(team_ids: Collection[int]) -> list[dict[str, Any]]:
    """Facts of all active jobs of the teams, the newest first; one query."""
    return [fact_of(row) for row in _ACTIVE.dicts(team_ids=sorted(team_ids))]


def columns_of(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """The jobs with what was learned of their lengths: NAMES are what `fact_of` reads."""
    learned = DurationRange.objects.filter(
        pipeline_id=OuterRef("pipeline_id"), effort_level=OuterRef("effort_level")
    )
    return jobs.annotate(**{name: Subquery(learned.values(name)[:1]) for name in LEARNED})


_BY_ID = Prepared(
    lambda job_ids: columns_of(Job.objects.filter(pk__in=job_ids)).values_list(*NAMES)
)
_ACTIVE = Prepared(
    lambda team_ids: columns_of(Job.objects.active().filter(team_id__in=team_ids)).values_list(
        *NAMES
    )
)


def version_of(event_count: int, finished_count: int) -> int:
    return event_count * VERSION_STEP + finished_count


def fact_of(row: dict[str, Any]) -> dict[str, Any]:
    finished = sum(
        row[f"{name}_count"] for name in ("done", "failed", "skipped", "cancelled", "uncertain")
    )
    is_active = row["status"] in ACTIVE_JOB_STATUSES
    short_id = row["workflow_execution_id"].hex[:8] if row["job_type__is_coding_task"] else ""
    facts = {
        "id": row["id"],
        "v": version_of(row["event_count"], finished),
        "team": row["team_id"],
        "project_id": row["project_id"],
        "project": row["project__name"],
        "project_slug": row["project__slug"],
        "kind": row["kind"],
        "status": row["status"],
        "cancelling": is_active and row["cancel_requested_at"] is not None,
        "label": _label(row, short_id),
        "short_id": short_id,
        "agent": row["job_type__agent_label"] or row["agent_name"],
        "ticket": row["ticket_key"],
        "created": _ms(row["created_at"]),
        "started": _ms(row["started_at"]),
        "resumed": _ms(row["resumed_at"]),
        # A job that a pause holds is not stalled; what others work on no pause holds.
        "paused": row["project__paused_at"] is not None and row["kind"] not in REPORTED_KINDS,
        "waiting_since": _ms(row["wait_began_at"]),
        "ended": _ms(row["completed_at"]),
        "total": row["total_count"],
        "finished": finished,
        "failed": row["failed_count"],
        "waiting": row["waiting_count"],
        "uncertain": row["uncertain_count"],
        **_usual(row),
    }
    if row["status"] == JobStatus.FAILED:
        facts.update(_failure(row))
    facts["action_key"] = action_key(facts)
    facts["action_label"] = action_label(facts)
    return facts


def _usual(row: dict[str, Any]) -> dict[str, Any]:
    """`stall_after`: the seconds at work beyond which it may be stalled, null where nobody can
    tell; 0 of a silent one. `usual_high` is null where a fixed limit holds.
    """
    low, high = row["job_type__typical_min_seconds"], row["job_type__typical_max_seconds"] or None
    if row["high_seconds"] is not None:
        low, high = usual.sized(
            row["kind"], row["total_count"], (row["low_seconds"], row["high_seconds"]),
            (row["record_low_seconds"], row["record_high_seconds"]),
        )  # fmt: skip
    limit = usual.stall_seconds(
        row["kind"], row["total_count"], high, row["options__pace_per_minute"]
    )
    return {
        "usual_low": low, "usual_high": high, "silent": row["stalled_at"] is not None,
        "stall_after": 0 if row["stalled_at"] else limit,
    }  # fmt: skip


def _label(row: dict[str, Any], short_id: str) -> str:
    """A workflow of the catalogue goes by its type's label ("Generating Plan"), all else by its
    own; without the short id, which has a place of its own.
    """
    of_type = row["job_type__label"] if row["kind"] == JobKind.WORKFLOW else ""
    label: str = of_type or row["label"]
    return (
        label.replace("#{short_id}", "").replace(f"#{short_id}", "").strip() if short_id else label
    )


def _failure(row: dict[str, Any]) -> dict[str, str]:
    from jobs.failures import explain

    failure = explain(row["error_type"])
    return {
        "error_type": row["error_type"],
        "error": failure.explanation,
        "what_to_do": failure.action,
    }


def action_key(facts: dict[str, Any]) -> str:
    """`build:<id>`, `run:<id>` or `job:<id>` (SPEC section 4)."""
    kind = facts["kind"] if facts["kind"] in {JobKind.BUILD, JobKind.RUN} else "job"
    return f"{kind}:{facts['id']}"


def action_label(facts: dict[str, Any]) -> str:
    """What the ActiveAction chip says of an active job (the table of SPEC section 4)."""
    project, is_pending = facts["project"], facts["status"] == JobStatus.PENDING
    if facts["kind"] == JobKind.BUILD:
        if is_pending:
            return "Build queued…"
        return f"Building ({project})" if project else "Building…"
    if facts["kind"] == JobKind.RUN:
        if facts["cancelling"]:
            return "Stopping server…"
        return "Starting server…" if is_pending else f"Server running ({project})"
    if facts["cancelling"]:
        return f"Cancelling {facts['label']}…"
    return f"{facts['label']} queued…" if is_pending else f"{facts['label']}…"


def _ms(moment: datetime | None) -> int | None:
    return round(moment.timestamp() * 1000) if moment else None
