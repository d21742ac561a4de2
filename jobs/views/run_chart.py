"""The last runs as bars: how long each took and how its records ended. Drawn on the server."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.models import Job

WIDTH, HEIGHT, BASE, GAP = 640, 132, 112, 3


@dataclass(slots=True)
class Bar:
    """Heights add up to the run's length; failed is the share of records that failed."""

    job: Job
    seconds: float
    x: float
    width: float
    top: float
    height: float
    failed_top: float
    failed_height: float


@dataclass(slots=True)
class RunChart:
    bars: list[Bar]
    longest_seconds: float
    typical_seconds: float | None
    typical_y: float | None
    width: int = WIDTH
    height: int = HEIGHT
    base: int = BASE


def run_chart(runs: Sequence[Job]) -> RunChart | None:
    """`runs` newest first, drawn oldest to the left; None when none of them has begun."""
    begun = [(job, job.duration_seconds) for job in reversed(runs)]
    timed = [(job, seconds) for job, seconds in begun if seconds is not None]
    if not timed:
        return None
    longest = max(max(seconds for _, seconds in timed), 0.001)
    slot = min((WIDTH - 8) / len(timed), 48)
    bars = []
    for place, (job, seconds) in enumerate(timed):
        height = max(2.0, (BASE - 14) * seconds / longest)
        failed_share = job.failed_count / job.total_count if job.total_count else 0
        if job.status == "failed":
            failed_share = 1
        failed_height = max(2.0, height * failed_share) if failed_share else 0
        bars.append(
            Bar(
                job, seconds,
                x=round(4 + place * slot, 1), width=round(slot - GAP, 1),
                top=round(BASE - height, 1), height=round(height, 1),
                failed_top=round(BASE - failed_height, 1), failed_height=round(failed_height, 1),
            )
        )  # fmt: skip
    ended = sorted(seconds for job, seconds in timed if job.status == "completed")
    typical = ended[len(ended) // 2] if len(ended) > 2 else None
    typical_y = round(BASE - (BASE - 14) * typical / longest, 1) if typical else None
    return RunChart(bars, longest, typical, typical_y)
