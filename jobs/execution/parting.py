"""Whether this worker has been asked to end, known in its pool's children too.

Celery tells only the worker's main process. The byte here is shared memory, made before the pool
forks, so that a child can end at its next safe point.
"""

import mmap

_asked = mmap.mmap(-1, 1)


def request() -> None:
    _asked[0] = 1


def is_requested() -> bool:
    return _asked[0] == 1
