"""A round of the sweep over rows that need something: each on its own, so that none hides another."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, connection

log = logging.getLogger("spindle.sweep")

T = TypeVar("T")


def one_by_one(things: Iterable[T], act: Callable[[T], int | None], *, what: str) -> int:
    """Act on each thing; the sum of what that gave. One that fails is logged and passed over, and
    comes again in the next round. Raises only where the database itself does not answer.
    """
    count = 0
    for thing in things:
        try:
            count += act(thing) or 0
        except Exception as error:
            if isinstance(error, DatabaseError | InterfaceError) and not connection.is_usable():
                raise
            name = getattr(thing, "__name__", thing)
            log.exception("%s (%s) failed; the next round tries again.", what, name)
    return count
