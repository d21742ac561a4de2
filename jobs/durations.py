"""Lengths: histograms of steps, and what is usual for a pipeline's jobs.

A histogram is a list of counts; bucket i holds lengths up to 2**(i/2) ms, so any percentile is
known within a fifth, and two histograms add up.
"""

import math
from collections.abc import Sequence

from jobs.models import DurationRange, Job
from jobs.models.jobs import JobKind
from jobs.statuses import JobStatus

SAMPLES = 50  # the last so many completed executions
ENOUGH = 5  # fewer say nothing; the catalogue's range holds


def bucket(ms: float) -> int:
    """The bucket a length falls in; 0 for up to 1 ms."""
    return 0 if ms <= 1 else math.ceil(2 * math.log2(ms))


def percentile(histogram: Sequence[int], share: float) -> float | None:
    """The length in ms below which `share` (0 to 1) of them lie; None when there are none.

    Interpolated within the bucket, so that it does not jump between powers.
    """
    total = sum(histogram)
    if not total:
        return None
    wanted, seen = share * total, 0
    for index, count in enumerate(histogram):
        if count and seen + count >= wanted:
            low = 0.0 if index == 0 else 2 ** ((index - 1) / 2)
            high = 2 ** (index / 2)
            return low + (high - low) * max(0.0, wanted - seen) / count
        seen += count
    return 2 ** ((len(histogram) - 1) / 2)


def quantile(values: Sequence[float], share: float) -> float:
    """Of a sorted, non-empty sequence, with linear interpolation."""
    place = share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def learn(job_id: int) -> bool:
    """Renew the usual range of a completed job's pipeline and effort. Corrected jobs are left out.

    False where there are too few executions yet.
    """
    job = Job.objects.get(pk=job_id)
    if job.pipeline_id is None:
        return False
    done = Job.objects.filter(
        pipeline_id=job.pipeline_id, effort_level=job.effort_level, status=JobStatus.COMPLETED
    )
    lengths: list[float] = []
    per_record: list[float] = []
    rows = (
        done.filter(is_corrected=False).exclude(started_at=None)
        .order_by("-completed_at")
        .values_list("started_at", "completed_at", "total_count")[:SAMPLES]
    )  # fmt: skip
    for started_at, completed_at, total in rows:
        seconds = (completed_at - started_at).total_seconds()
        lengths.append(seconds)
        if total:
            per_record.append(seconds / total)
    if len(lengths) < ENOUGH:
        return False
    lengths.sort()
    per_record.sort()
    is_run = job.kind == JobKind.SPINNER
    DurationRange.objects.update_or_create(
        pipeline_id=job.pipeline_id, effort_level=job.effort_level,
        defaults={
            "sample_count": len(lengths), "low_seconds": quantile(lengths, 0.1),
            "high_seconds": quantile(lengths, 0.9),
            "record_seconds": quantile(per_record, 0.5) if is_run and per_record else None,
            "corrected_count": done.filter(is_corrected=True).count(),
        },
    )  # fmt: skip
    return True
