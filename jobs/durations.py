"""Lengths: histograms of steps, and quantiles. What is usual for jobs stands in jobs/usual.py.

A histogram is a list of counts; bucket i holds lengths up to 2**(i/2) ms, so any percentile is
known within a fifth, and two histograms add up.
"""

import math
from collections.abc import Sequence


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
