"""The team's monthly plan: charged at launch, by one conditional UPDATE."""

from dataclasses import dataclass
from datetime import date

from django.db.models import F, Q

from accounts.models import Team, Usage
from jobs import clock
from jobs.execution.errors import Refused


@dataclass(slots=True, frozen=True)
class PlanState:
    """`None` as allowed means no limit. `resets_on` is the first day of next month, UTC."""

    jobs_used: int
    jobs_allowed: int | None
    records_used: int
    records_allowed: int | None
    resets_on: date

    @property
    def records_left(self) -> int | None:
        if self.records_allowed is None:
            return None
        return max(0, self.records_allowed - self.records_used)

    @property
    def has_job_left(self) -> bool:
        return self.jobs_allowed is None or self.jobs_used < self.jobs_allowed

    def fits(self, records: int) -> bool:
        return self.has_job_left and (self.records_left is None or records <= self.records_left)

    def ever_fits(self, records: int) -> bool:
        """Whether a whole month's plan would be enough."""
        return self.jobs_allowed != 0 and (
            self.records_allowed is None or records <= self.records_allowed
        )


def this_month() -> date:
    return clock.now().date().replace(day=1)


def next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def state(team: Team) -> PlanState:
    month = this_month()
    usage = Usage.objects.filter(team=team, month=month).first()
    return PlanState(
        jobs_used=usage.job_count if usage else 0,
        jobs_allowed=team.monthly_job_limit,
        records_used=usage.record_count if usage else 0,
        records_allowed=team.monthly_record_limit,
        resets_on=next_month(month),
    )


def charge(team: Team, *, records: int) -> None:
    """Count one job and its records, or raise Refused PLAN_LIMIT and count nothing.

    The limit stands in the WHERE clause of the UPDATE, so two launches at once cannot pass it
    together: the second sees what the first has counted.
    """
    month = this_month()
    Usage.objects.get_or_create(team=team, month=month)
    usage = Usage.objects.filter(team=team, month=month)
    jobs_allowed, records_allowed = Team.objects.values_list(
        "monthly_job_limit", "monthly_record_limit"
    ).get(pk=team.pk)
    within = Q()
    if jobs_allowed is not None:
        within &= Q(job_count__lte=jobs_allowed - 1)
    if records_allowed is not None:
        within &= Q(record_count__lte=records_allowed - records)
    charged = usage.filter(within).update(
        job_count=F("job_count") + 1, record_count=F("record_count") + records
    )
    if not charged:
        raise _limit(usage.get(), jobs_allowed, records_allowed, records, month)


def _limit(
    usage: Usage, jobs_allowed: int | None, records_allowed: int | None, wanted: int, month: date
) -> Refused:
    resets_on = next_month(month)
    reset = f"It resets on {resets_on:%-d %B %Y}; an admin of the team can raise it."
    if jobs_allowed is not None and usage.job_count >= jobs_allowed:
        return Refused(
            f"The plan's {jobs_allowed:,} jobs of this month are used up. {reset}",
            code="PLAN_LIMIT", limit="jobs", used=usage.job_count, allowed=jobs_allowed,
            resets_on=resets_on.isoformat(), fits=0,
        )  # fmt: skip
    allowed = records_allowed or 0
    fits = max(0, allowed - usage.record_count)
    return Refused(
        f"This needs {wanted:,} records, but only {fits:,} of the plan's {allowed:,} are left "
        f"this month. {reset}",
        code="PLAN_LIMIT", limit="records", used=usage.record_count, allowed=allowed,
        resets_on=resets_on.isoformat(), fits=fits,
    )  # fmt: skip
