"""Whether this worker has been asked to stop, known in its pool processes too.

Celery tells only the worker's main process; the byte here is shared memory, made before the pool
is forked, so that a long task can end at its next safe point.
"""

import mmap

_asked = mmap.mmap(-1, 1)


def request() -> None:
    _asked[0] = 1


def is_requested() -> bool:
    return _asked[0] == 1
