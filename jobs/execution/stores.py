"""Where the engine's database work runs, so that its event loop never waits for the database."""

import asyncio
import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from django.db import InterfaceError, OperationalError, connection, connections

log = logging.getLogger("spindle.engine")

TRIES = 6  # of one database call, while the database is away or busy


class Store(Protocol):
    """Runs a database function beside the event loop."""

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...


def steadily(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a database function, again on a fresh connection where the old one broke.

    Only for functions that may run twice: claims, loads, and commits (which know their number).
    """
    for attempt in range(1, TRIES + 1):
        try:
            return function(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            if attempt == TRIES or connection.in_atomic_block:
                raise
            log.warning("The database did not answer (%s); again, %s.", error, attempt)
            connection.close()
            time.sleep(0.2 * attempt)
    return None


class ThreadStore:
    """Database work on threads that live as long as the process."""

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="spindle-store")

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: steadily(function, *args, **kwargs))

    def close(self) -> None:
        self._pool.submit(connections.close_all)
        self._pool.shutdown(wait=False)


class CallerStore:
    """Database work on the thread that called `serve`: tests run inside one transaction."""

    def __init__(self) -> None:
        self._work: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue()

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        self._work.put((lambda: function(*args, **kwargs), future))
        return await asyncio.wrap_future(future)

    def serve(self) -> None:
        while (item := self._work.get()) is not None:
            work, future = item
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 -- handed to whoever asked
                future.set_exception(error)

    def stop(self) -> None:
        self._work.put(None)
