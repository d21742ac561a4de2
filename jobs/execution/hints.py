"""Messages to the workers: hints that there may be work. Losing one costs a few seconds."""

import contextlib
import logging
import threading
from collections.abc import Iterator

from django.db import transaction

log = logging.getLogger("spindle.engine")
_held = threading.local()


def hint_on_commit() -> None:
    transaction.on_commit(hint)


@contextlib.contextmanager
def one_hint() -> Iterator[None]:
    """Many verbs, one hint at the end: a message each would keep other tasks waiting."""
    _held.hints = 0
    try:
        yield
    finally:
        count = _held.hints
        _held.hints = None
        if count:
            hint()


def hint() -> None:
    """Wake a worker. A broker that is away is logged, never fatal: the sweep sends it again."""
    if getattr(_held, "hints", None) is not None:
        _held.hints += 1
        return
    from jobs.tasks import run_batches  # the task imports the executor, which hints too

    try:
        run_batches.apply_async(retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 -- every transport has errors of its own
        log.warning("The broker took no message (%s); the sweep will send it again.", error)
