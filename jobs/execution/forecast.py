"""What a run will take of the plan, and how long it should take, before it is started."""

from dataclasses import dataclass, field
from datetime import date

from jobs.execution import plan
from jobs.execution.selection import Selection
from jobs.models import DurationRange, Job
from projects.models import Pipeline

MOST_BUSY = 5


@dataclass(slots=True, frozen=True)
class Forecast:
    """`plan_allowed` None: no limit, and everything fits. Lengths are None without a history.

    `is_job_limit_reached`: the month's jobs are used up, so that not even one record fits.
    `may_wait`: it does not fit now, but a whole month's plan would be enough.
    """

    record_count: int
    plan_used: int
    plan_allowed: int | None
    jobs_used: int
    jobs_allowed: int | None
    resets_on: date
    fits_count: int
    may_wait: bool
    low_seconds: float | None
    high_seconds: float | None
    busy_jobs: list[Job] = field(default_factory=list)

    @property
    def is_job_limit_reached(self) -> bool:
        return self.jobs_allowed is not None and self.jobs_used >= self.jobs_allowed

    @property
    def fits(self) -> bool:
        return self.record_count <= self.fits_count


def forecast(spinner: Pipeline, selection: Selection, *, effort: str = "") -> Forecast:
    """Reads only; the launch charges the plan again, so that two at once cannot pass it."""
    if spinner.project is None:
        raise ValueError("A workflow has no contacts to foretell.")
    count = selection.count(spinner.project)
    state = plan.state(spinner.team)
    low, high = _usual_length(spinner, effort or spinner.default_effort, count)
    fits = count if state.records_left is None else state.records_left
    if not state.has_job_left:
        fits = 0
    return Forecast(
        record_count=count, plan_used=state.records_used, plan_allowed=state.records_allowed,
        jobs_used=state.jobs_used, jobs_allowed=state.jobs_allowed, resets_on=state.resets_on,
        fits_count=fits, may_wait=count > fits and state.ever_fits(count),
        low_seconds=low, high_seconds=high,
        busy_jobs=list(Job.objects.filter(team=spinner.team).active().order_by("id")[:MOST_BUSY]),
    )  # fmt: skip


def _usual_length(spinner: Pipeline, effort: str, count: int) -> tuple[float | None, float | None]:
    """The learned range, scaled to this number of records."""
    usual = DurationRange.objects.filter(pipeline=spinner, effort_level=effort).first()
    if usual is None:
        return None, None
    middle = (usual.low_seconds + usual.high_seconds) / 2
    if not usual.record_seconds or not middle:
        return usual.low_seconds, usual.high_seconds
    scale = usual.record_seconds * count / middle
    return usual.low_seconds * scale, usual.high_seconds * scale
