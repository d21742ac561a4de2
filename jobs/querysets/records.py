"""Selecting and scoping records; what every page, export and API call begins with."""

from typing import TYPE_CHECKING, Any, Self

from django.db import models

from jobs.querysets.journeys import StepEntryIs
from jobs.statuses import OPEN_RECORD_STATUSES, RecordStatus, StepStatus

if TYPE_CHECKING:
    from jobs.models.records import Record

# What a funnel's four numbers mean for the latest entry of a step.
FUNNEL_STATUSES: dict[str, tuple[str, ...]] = {
    "reached": tuple(s.value for s in StepStatus if s != StepStatus.SKIPPED),
    "passed": (StepStatus.COMPLETED.value,),
    "skipped": (StepStatus.SKIPPED.value,),
}


class RecordQuerySet(models.QuerySet["Record"]):
    def visible_to(self, user: object) -> Self:
        if not getattr(user, "is_authenticated", False) or not getattr(user, "is_active", False):
            return self.none()
        return self.filter(team__memberships__user=user)

    def for_list(self) -> Self:
        """Without the documents: a row of a list needs neither journey nor step values."""
        return self.defer("journey", "values", "wait_token_hash").select_related("job")

    def unprocessed(self) -> Self:
        return self.filter(status__in=OPEN_RECORD_STATUSES)

    def at_step(self, step: int, place: str) -> Self:
        """The records behind one number of a run's funnel: reached, passed, failed, waiting …"""
        if place == "failed":
            return self.filter(status=RecordStatus.FAILED, error_step=step)
        if place == "uncertain":
            return self.filter(status=RecordStatus.UNCERTAIN, error_step=step)
        if place == "waiting":
            return self.filter(status=RecordStatus.WAITING, next_step=step)
        return self.filter(
            StepEntryIs(step, FUNNEL_STATUSES.get(place, FUNNEL_STATUSES["reached"]))
        )

    def neighbour(self, record: "Record", *, status: str, forward: bool) -> "Record | None":
        """The next (or previous) record of the same run with this status, by position."""
        beyond: dict[str, Any] = {f"position__{'gt' if forward else 'lt'}": record.position}
        order = "position" if forward else "-position"
        return (
            self.filter(job_id=record.job_id, status=status, **beyond)
            .order_by(order).only("pk", "project_id", "position").first()
        )  # fmt: skip
