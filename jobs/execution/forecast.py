"""What a run will take of the plan, and how long it should take, before it is started."""

from dataclasses import dataclass, field
from datetime import date

from jobs import usual
from jobs.execution import plan
from jobs.execution.selection import Selection
from jobs.models import DurationRange, Job
from jobs.models.jobs import JobKind
from projects.models import Pipeline
from projects.steps import registry

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
    call_count: int = 0
    paced_seconds: float | None = None
    busy_jobs: list[Job] = field(default_factory=list)

    @property
    def is_held_by_pace(self) -> bool:
        """The pace alone makes it longer than it usually takes, or nothing else is known."""
        return self.paced_seconds is not None and self.paced_seconds > (self.high_seconds or 0)

    @property
    def is_job_limit_reached(self) -> bool:
        return self.jobs_allowed is not None and self.jobs_used >= self.jobs_allowed

    @property
    def fits(self) -> bool:
        return self.record_count <= self.fits_count


def forecast(
    spinner: Pipeline, selection: Selection, *, effort: str = "", pace: int | None = None
) -> Forecast:
    """Reads only; the launch charges the plan again, so that two at once cannot pass it.

    `pace`: calls a minute at most; steps that only compute take no turn.
    """
    if spinner.project is None:
        raise ValueError("A workflow has no contacts to foretell.")
    count = selection.count(spinner.project)
    state = plan.state(spinner.team)
    calls = _calls_a_record(spinner)
    low, high = _usual_length(spinner, effort or spinner.default_effort, count)
    fits = count if state.records_left is None else state.records_left
    if not state.has_job_left:
        fits = 0
    return Forecast(
        record_count=count, plan_used=state.records_used, plan_allowed=state.records_allowed,
        jobs_used=state.jobs_used, jobs_allowed=state.jobs_allowed, resets_on=state.resets_on,
        fits_count=fits, may_wait=count > fits and state.ever_fits(count),
        low_seconds=low, high_seconds=high, call_count=calls,
        paced_seconds=60 * count * calls / pace if pace and calls else None,
        busy_jobs=list(Job.objects.filter(team=spinner.team).active().order_by("id")[:MOST_BUSY]),
    )  # fmt: skip


def _calls_a_record(spinner: Pipeline) -> int:
    """How many steps of the published version call outside; conditions may lead past some."""
    version = spinner.current_version
    calling = {spec.kind for spec in registry.all_specs() if spec.is_effect}
    return sum(step["kind"] in calling for step in (version.steps if version else ()))


def _usual_length(spinner: Pipeline, effort: str, count: int) -> tuple[float | None, float | None]:
    """The learned range for this number of records, as the run's own page will say it."""
    found = DurationRange.objects.filter(pipeline=spinner, effort_level=effort).first()
    if found is None:
        return None, None
    return usual.sized(
        JobKind.SPINNER, count, (found.low_seconds, found.high_seconds),
        (found.record_low_seconds, found.record_high_seconds),
    )  # fmt: skip
