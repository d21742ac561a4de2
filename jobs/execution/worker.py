"""The worker process around the engine: its loop, its threads, its heartbeat, its end.

A Celery message only wakes it. It also looks for itself every second or so, so that a lost
message, or a broker that is away, costs a second and not the work.
"""

import asyncio
import gc
import logging
import os
import random
import socket
import threading
import time
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from jobs import clock
from jobs.execution import claims, parting, planning, step_kinds, sweep
from jobs.execution.engine import Engine
from jobs.execution.stores import ThreadStore, steadily, was_away
from jobs.models import Job, Worker
from jobs.models.agents import HEARTBEAT_SECONDS

log = logging.getLogger("spindle.worker")

BEAT_SECONDS = 0.25  # how often the watching thread looks round
LOOK_SECONDS = 1.0  # how often an idle worker looks for due work
CANCEL_SECONDS = 1.0  # how soon calls that have not begun hear of a cancel
SWEEP_SECONDS = 3.0
TASK_SECONDS = 2.0  # a Celery task stays so long, so that the next message wakes another worker
RETRY_SECONDS = 1.0  # a heartbeat the database did not take is sent again
LEAVE_SECONDS = 25.0
EXIT_HUNG = 70


def worker_name() -> str:
    """host/namespace:pid — the namespace, since containers share host names and count pids anew."""
    return f"{socket.gethostname()}:{os.getpid()}"


class WorkerProcess:
    """One a process: an engine on a thread of its own, which works while anything is due."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.name = worker_name()
        self.engine: Engine | None = None
        self._loop = asyncio.new_event_loop()
        self._ticking: asyncio.Task[None] | None = None
        self._nudge = asyncio.Event()
        self._is_idle = threading.Event()
        self._is_idle.set()
        self._is_ending = threading.Event()
        self._ready = threading.Event()
        threading.Thread(target=self._run_loop, name="spindle-engine", daemon=True).start()
        self._ready.wait(30)
        threading.Thread(target=self._watch, name="spindle-watch", daemon=True).start()
        threading.Thread(target=self._look, name="spindle-look", daemon=True).start()

    def work(self, seconds: float = TASK_SECONDS) -> None:
        """Take batches until nothing is due. Returns then, or after `seconds`, or at once where
        this process is at work already: it looks again before it ends.
        """
        if self._begin():
            self._is_idle.wait(seconds)

    def _begin(self) -> bool:
        """Wake the engine. True: it was idle."""
        if self.engine is None or self._is_ending.is_set():
            return False
        with _making:
            was_idle = self._is_idle.is_set()
            self._is_idle.clear()
        self._loop.call_soon_threadsafe(self._nudge.set)
        return was_idle

    def leave(self, seconds: float = LEAVE_SECONDS) -> None:
        """End softly: calls under way finish, the rest goes back to the queue at once."""
        with _making:
            is_first = not self._is_ending.is_set()
            self._is_ending.set()
        engine = self.engine
        if engine is None:
            return
        self._loop.call_soon_threadsafe(engine.leave)
        self._is_idle.wait(seconds)
        if is_first:
            steadily(Worker.objects.filter(name=self.name).delete)
            connection.close()

    # --- The event loop's thread --------------------------------------------------------------

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        from jobs.steps.clients import Clients  # opened within the loop it belongs to

        async with Clients() as clients:
            self.engine = Engine(self.name, store=ThreadStore(), clients=clients)
            _calm_collector()
            self._ticking = asyncio.create_task(self.engine.tick())
            self._ready.set()
            while True:
                await self._nudge.wait()
                self._nudge.clear()
                try:
                    await self.engine.run()
                except Exception:
                    log.exception("The engine stopped; it begins again within a second.")
                with _making:
                    if not self._nudge.is_set():
                        self._is_idle.set()

    # --- Looking for work ---------------------------------------------------------------------

    def _look(self) -> None:
        """Work that no message told of; and the sweep, which several may do at once."""
        swept_at = 0.0
        while not self._is_ending.wait(LOOK_SECONDS * (0.75 + 0.5 * random.random())):  # noqa: S311
            try:
                if time.monotonic() - swept_at > SWEEP_SECONDS:
                    swept_at = time.monotonic()
                    sweep.sweep()
                if self._is_idle.is_set() and planning.is_work_due():
                    self._begin()
            except (DatabaseError, InterfaceError) as error:
                was_away(error)
            except Exception:
                log.exception("Looking for work failed; again in a second.")

    # --- The watching thread ------------------------------------------------------------------

    def _watch(self) -> None:
        beat_at = cancel_at = 0.0
        every = min(HEARTBEAT_SECONDS, settings.LEASE_SECONDS / 3)
        while True:
            time.sleep(BEAT_SECONDS)
            now = time.monotonic()
            if parting.is_requested() and not self._is_ending.is_set():
                threading.Thread(target=self.leave, name="spindle-leave").start()
            self._end_if_hung(now)
            try:
                if now - beat_at >= every:
                    beat_at = now
                    self._beat()
                if now - cancel_at >= CANCEL_SECONDS:
                    cancel_at = now
                    self._hear_of_cancels()
            except (DatabaseError, InterfaceError) as error:
                was_away(error)
                beat_at = min(beat_at, now - every + RETRY_SECONDS)

    def _beat(self) -> None:
        engine = self.engine
        held = engine.held() if engine else []
        if held:
            claims.extend(self.name, held)
        doing = ", ".join(sorted({f"job #{claim.job_id}" for claim in held}))[:300]
        facts: dict[str, Any] = {
            "last_heartbeat_at": Now(), "doing": doing, "step_kinds": step_kinds.kinds_here()
        }  # fmt: skip
        if held:
            facts["last_claim_at"] = Now()
        if self._is_ending.is_set():
            return
        mine = Worker.objects.filter(name=self.name)
        if not mine.update(**facts):
            Worker.objects.update_or_create(
                name=self.name,
                defaults={
                    "host": socket.gethostname(), "pid": self.pid, "version": version(),
                    "started_at": Now(), **facts,
                },
            )  # fmt: skip
        asked_at = clock.ticks()
        for now in mine.values_list(Now(), flat=True):
            clock.learn(now, asked_at)

    def _hear_of_cancels(self) -> None:
        engine = self.engine
        held = {claim.job_id for claim in engine.held()} if engine else set()
        if not engine or not held:
            return
        cancelled = set(
            Job.objects.filter(pk__in=held)
            .exclude(cancel_requested_at=None, stop_error="")
            .values_list("pk", flat=True)
        )
        if cancelled:
            self._loop.call_soon_threadsafe(engine.stop_jobs, cancelled)

    def _end_if_hung(self, now: float) -> None:
        """A step that never gives the loop back: only the end of the process frees its batches."""
        engine = self.engine
        if engine and engine.held() and now - engine.ticked_at > settings.HANG_SECONDS:
            log.critical(
                "No progress for %s s on %s; this worker ends itself.",
                settings.HANG_SECONDS, ", ".join(f"job #{c.job_id}" for c in engine.held()),
            )  # fmt: skip
            os._exit(EXIT_HUNG)


def _calm_collector() -> None:
    """What is loaded by now stays: the collector need not look at it again and again, nor at the
    young values of a batch after every few hundred of them (a fifth of a run's CPU).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


_process: WorkerProcess | None = None
_making = threading.Lock()


def process() -> WorkerProcess:
    """This process's one; a forked child makes its own."""
    global _process
    with _making:
        if _process is None or _process.pid != os.getpid():
            _process = WorkerProcess()
        return _process


def work() -> None:
    """What a message leads to."""
    process().work()


def leave() -> None:
    if _process is not None and _process.pid == os.getpid():
        _process.leave()


def version() -> str:
    return str(getattr(settings, "VERSION", "") or "0.1")
