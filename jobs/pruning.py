"""What pages say of what a team's retention rule took away."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from jobs.events import EventKind
from jobs.models import Job, JobEvent

What = Literal["events", "journeys", "records"]


@dataclass(frozen=True)
class Pruning:
    """`days` is the rule as it stood then; None where its event is gone."""

    at: datetime
    what: str
    days: int | None

    @property
    def rule(self) -> str:
        if self.days is None:
            return "the team's retention rule"
        days = f"{self.days:,} day{'' if self.days == 1 else 's'}"
        return f"the team's rule that {self.what} are kept for {days}"


def pruning_of(job: Job, what: What) -> Pruning | None:
    """When and by which rule; None (without a query) where nothing was pruned."""
    at = getattr(job, f"{what}_pruned_at")
    if at is None:
        return None
    told = JobEvent.objects.filter(job_id=job.pk, kind=EventKind.PRUNED).order_by("-number")
    # Journeys may have gone with their records.
    for days in told.values_list("payload__days", flat=True)[:5]:
        for rule in (what, "records") if what == "journeys" else (what,):
            if rule in (days or {}):
                return Pruning(at, rule, int(days[rule]))
    return Pruning(at, what, None)
