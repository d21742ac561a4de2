"""Lengths of time as builders write them: `45s`, `30m`, `2h`, `3d`, `1h 30m`."""

import re

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
PART = re.compile(r"\s*(\d{1,9}(?:\.\d{1,3})?)\s*([smhdw])", re.IGNORECASE)
LONGEST = 366 * 86_400


def duration_seconds(text: str) -> float | None:
    """The length in seconds; None when `text` is not a length of time."""
    text = str(text).strip()
    total, end = 0.0, 0
    while end < len(text):
        part = PART.match(text, end)
        if part is None:
            return None
        total += float(part[1]) * UNITS[part[2].lower()]
        end = part.end()
    return total if end else None
