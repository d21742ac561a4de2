"""Live Ops' charts as coordinates: bars of records a minute, a line of a step's time."""

from dataclasses import dataclass
from datetime import datetime

from jobs.ops import Ops, StepChart

WIDTH, HEIGHT, TOP, BASE = 560, 150, 14, 128


@dataclass(frozen=True)
class Bar:
    """`top` and `height` of the whole; the failed part stands at the foot."""

    x: float
    width: float
    top: float
    height: float
    failed_top: float
    failed_height: float
    minute: datetime
    count: int
    failed: int


@dataclass(frozen=True)
class Bars:
    bars: list[Bar]
    highest: int
    width: int = WIDTH
    height: int = HEIGHT
    base: int = BASE


@dataclass(frozen=True)
class Line:
    """Points of polylines, each without gaps; `mark` is where the step became slower."""

    chart: StepChart
    p50: list[str]
    p95: list[str]
    usual_y: float | None
    mark_x: float | None
    highest_ms: float
    width: int = WIDTH
    height: int = HEIGHT
    base: int = BASE


def record_bars(ops: Ops) -> Bars:
    highest = max((done + failed for _, done, failed in ops.bars), default=0)
    slot = WIDTH / len(ops.bars)
    bars = []
    for place, (minute, done, failed) in enumerate(ops.bars):
        count = done + failed
        height = _share(count, highest)
        failed_height = _share(failed, highest)
        bars.append(
            Bar(
                x=round(place * slot + 1, 1), width=round(slot - 4, 1),
                top=round(BASE - height, 1), height=round(height, 1),
                failed_top=round(BASE - failed_height, 1),
                failed_height=round(failed_height, 1), minute=minute, count=count, failed=failed,
            )
        )  # fmt: skip
    return Bars(bars, highest)


def step_line(chart: StepChart) -> Line:
    values = [v for v in (*chart.p95, chart.usual_p95) if v is not None]
    highest = max(values, default=1.0) or 1.0
    step = WIDTH / max(1, len(chart.minutes) - 1)
    mark = chart.minutes.index(chart.slower_since) * step if chart.slower_since else None
    usual_y = round(BASE - _share(chart.usual_p95, highest), 1) if chart.usual_p95 else None
    return Line(
        chart, _segments(chart.p50, step, highest), _segments(chart.p95, step, highest),
        usual_y, round(mark, 1) if mark is not None else None, highest,
    )  # fmt: skip


def _share(value: float | None, highest: float) -> float:
    if not value or not highest:
        return 0.0
    return max(2.0, (BASE - TOP) * value / highest)


def _segments(values: list[float | None], step: float, highest: float) -> list[str]:
    """Polylines between gaps; a lone minute becomes a short dash."""
    segments: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            segments.append([])
            continue
        y = BASE - _share(value, highest)
        segments[-1].append(f"{place * step:.1f},{y:.1f}")
    drawn = []
    for points in segments:
        if len(points) == 1:
            x, height = points[0].split(",")
            points = [f"{max(0.0, float(x) - 3):.1f},{height}", f"{float(x) + 3:.1f},{height}"]
        if points:
            drawn.append(" ".join(points))
    return drawn
