"""Where the engine's database work runs, so that its event loop never waits for the database."""

import asyncio
import logging
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import psycopg
from django.db import InterfaceError, OperationalError, connection, connections

from jobs.execution import parting

log = logging.getLogger("spindle.engine")

# How long one call waits for a database that is away, busy or full. What calls have brought is
# held meanwhile: given up, it would leave effects of which nobody knows whether they happened.
PATIENCE_SECONDS = 300.0
PARTING_SECONDS = 15.0  # of a worker that was told to end
LONGEST_NAP = 1.0
CALM_SECONDS = 5.0


class Store(Protocol):
    """Runs a database function beside the event loop."""

    async def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any: ...


def steadily(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a database function, again on a fresh connection where the old one broke.

    Only for functions that may run twice: claims, loads, and commits (which know their number).
    """
    began, nap = time.monotonic(), 0.1
    while True:
        try:
            return function(*args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            waited = time.monotonic() - began
            patience = PARTING_SECONDS if parting.is_requested() else PATIENCE_SECONDS
            if waited > patience or connection.in_atomic_block:
                raise
            was_away(error)
            time.sleep(nap)
            nap = min(LONGEST_NAP, 2 * nap)


_away = {"at": -CALM_SECONDS, "told_at": -CALM_SECONDS}  # by the monotonic clock


def was_away(error: Exception) -> None:
    """The database failed this thread: begin anew on a fresh connection."""
    now = time.monotonic()
    if is_outage(error):
        _away["at"] = now
    if now - _away["told_at"] >= CALM_SECONDS:
        _away["told_at"] = now
        log.warning("The database does not answer (%s); trying on.", str(error).strip())
    connection.close()


def is_outage(error: Exception) -> bool:
    """Whether the server itself was gone: a deadlock, a lock or a slow statement is none."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error):
        return False  # SQLite's file does not go away
    return cause.sqlstate is None or cause.sqlstate.startswith(("08", "57P"))


def is_calm() -> bool:
    """Not for some seconds after an outage: leases ran out while nobody could extend them."""
    return time.monotonic() - _away["at"] >= CALM_SECONDS


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
