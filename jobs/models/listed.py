"""A job as a list reads it: its row's columns alone, without the cost of a model instance."""

from datetime import datetime
from typing import NamedTuple

from jobs.models.state import JobState


class _Columns(NamedTuple):
    id: int
    team_id: int
    project_id: int
    kind: str
    pipeline_id: int | None
    workflow_slug: str
    label: str
    agent_name: str
    status: str
    effort_level: str
    ticket_key: str
    current_step: int
    step_count: int
    total_count: int
    done_count: int
    failed_count: int
    skipped_count: int
    cancelled_count: int
    uncertain_count: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cancel_requested_at: datetime | None
    resumed_at: datetime | None
    stalled_at: datetime | None
    job_type_id: int | None
    event_count: int
    agent_id: int | None
    scheduled_for: datetime | None
    plan_held_at: datetime | None
    is_resent: bool
    pending_steps: list[dict[str, str]] | None  # None unless it is pending


class ListedJob(_Columns, JobState):
    """Made of the columns named by its fields; fifty models cost 3 ms, fifty of these 0.1."""

    __slots__ = ()

    @property
    def pk(self) -> int:
        return self.id
