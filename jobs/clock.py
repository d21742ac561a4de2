"""The database's time, without a question each time.

Who holds a lease and what is due is decided by the database alone: `Now()` within the statement.
What a worker writes as a value (until when a record waits, when a step began) comes from here, so
that records of workers whose clocks differ tell one story. A worker learns how far the database's
clock is from its own ticks, which no correction of the machine's clock moves: with every claim,
which costs nothing, and with every heartbeat. A process that never asked goes by its own clock.
"""

import time
from datetime import UTC, datetime

from django.utils import timezone

# Linux has a clock that also counts while the machine sleeps.
_TICKING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# An answer that took long seems to come from an earlier moment: a smaller distance is a better
# one, and only a larger difference says that the database's clock was put forward.
FORWARD_SECONDS = 0.25

_offset: float | None = None  # database time less ticks


def ticks() -> float:
    return time.clock_gettime(_TICKING)


def learn(told: datetime, asked_at: float) -> None:
    """The database answered a question sent at `asked_at` (by ticks) that it is `told`."""
    global _offset
    if timezone.is_naive(told):
        told = told.replace(tzinfo=UTC)
    offset = told.timestamp() - asked_at
    if _offset is None or offset < _offset or offset > _offset + FORWARD_SECONDS:
        _offset = offset


def now() -> datetime:
    if _offset is None:
        return timezone.now()
    return datetime.fromtimestamp(_offset + ticks(), UTC)


def forget() -> None:
    """Go by the process's own clock again (tests)."""
    global _offset
    _offset = None
