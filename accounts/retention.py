"""A team's retention rules: when they hold, and how far the rounds of pruning have come."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from accounts.models import Retention, Team

GRACE = timedelta(hours=1)  # a new rule holds only then: a slip can still be mended


@dataclass(frozen=True)
class RetentionState:
    """`next_at` is None where no rule is set; `is_late`: a round that was due has not come."""

    row: Retention
    next_at: datetime | None
    is_late: bool
    holds_from: datetime | None


def changed(team: Team) -> None:
    """In the caller's transaction: nothing goes by the new rules until GRACE is over."""
    Retention.objects.update_or_create(team=team, defaults={"changed_at": timezone.now()})


def state_of(team: Team) -> RetentionState:
    row = Retention.objects.filter(team=team).first() or Retention(team=team)
    if not (team.journey_retention_days or team.event_retention_days or team.record_retention_days):
        return RetentionState(row, None, is_late=False, holds_from=None)
    now = timezone.now()
    round_length = timedelta(seconds=settings.RETENTION_SECONDS)
    holds_from = row.changed_at + GRACE if row.changed_at else None
    due = row.round_at + round_length if row.round_at else holds_from or now
    next_at = max(due, holds_from) if holds_from else due
    is_late = now > next_at + 5 * round_length
    return RetentionState(
        row, next_at, is_late=is_late,
        holds_from=holds_from if holds_from and holds_from > now else None,
    )  # fmt: skip
