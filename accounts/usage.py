"""A team's plan in words and numbers: used, allowed, how near the limit, when it resets."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from accounts.models import Team, Usage

NEAR_PERCENT = 80


@dataclass(frozen=True)
class Meter:
    """`allowed` is None where no limit holds."""

    label: str
    used: int
    allowed: int | None

    @property
    def percent(self) -> float:
        return min(100.0, 100 * self.used / self.allowed) if self.allowed else 0.0

    @property
    def level(self) -> str:
        if self.allowed is None:
            return "unlimited"
        if self.used >= self.allowed:
            return "reached"
        return "near" if self.percent >= NEAR_PERCENT else "fine"

    @property
    def words(self) -> str:
        return {
            "unlimited": "no limit",
            "fine": "well within the plan",
            "near": "close to the limit",
            "reached": "the limit is reached",
        }[self.level]


def this_month() -> date:
    return datetime.now(UTC).date().replace(day=1)


def resets_on() -> date:
    month = this_month()
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def meters(team: Team) -> list[Meter]:
    used = Usage.objects.filter(team=team, month=this_month()).first()
    return [
        Meter("Jobs this month", used.job_count if used else 0, team.monthly_job_limit),
        Meter("Records this month", used.record_count if used else 0, team.monthly_record_limit),
    ]
