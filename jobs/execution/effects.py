"""How many effects are under way, and when: limits per step and host, pauses, back-off, pace."""

import asyncio
import random
import time

from jobs.execution.program import CompiledStep, Program

HOST_LIMIT = 200  # calls to one host at once, of one worker
LONGEST_NAP = 10.0  # seconds; who has to wait longer leaves the batch (journal.Group.deferred)
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 300.0


def backoff(attempt: int, after_seconds: float | None) -> float:
    """Seconds until the next attempt: what the receiver asked for, else doubling, with jitter.

    Full jitter on our own; above the receiver's wish only, so that it is never broken.
    """
    if after_seconds is not None:
        return min(after_seconds, 3600.0) * (1 + 0.1 * random.random())  # noqa: S311 -- no secret
    ceiling = float(min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0**attempt))
    return ceiling * (0.5 + 0.5 * random.random())  # noqa: S311


class Limits:
    """Shared by all batches of one worker process."""

    def __init__(self) -> None:
        self._steps: dict[tuple[int, int], asyncio.Semaphore] = {}
        self._windows: dict[tuple[int, int], asyncio.Semaphore] = {}
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._paused_until: dict[str, float] = {}

    @staticmethod
    def concurrency(program: Program, step: CompiledStep) -> int:
        own = max(1, int(step.step.concurrency))
        return min(own, int(program.options.get("concurrency") or own))

    def window(self, program: Program, step: CompiledStep) -> asyncio.Semaphore:
        """How many records may have an intent at once: enough to keep the calls flowing while
        the next intents are committed, and no more, since each may become uncertain in a crash.
        """
        key = (program.job_id, step.number)
        if key not in self._windows:
            self._forget_when_many()
            self._windows[key] = asyncio.Semaphore(3 * self.concurrency(program, step))
        return self._windows[key]

    def slots(
        self, program: Program, step: CompiledStep, host: str
    ) -> tuple[asyncio.Semaphore, asyncio.Semaphore]:
        """The step's place and the host's: both are held during a call."""
        key = (program.job_id, step.number)
        if key not in self._steps:
            self._steps[key] = asyncio.Semaphore(self.concurrency(program, step))
        if host not in self._hosts:
            self._hosts[host] = asyncio.Semaphore(HOST_LIMIT)
        return self._steps[key], self._hosts[host]

    def pause(self, host: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._paused_until[host] = max(until, self._paused_until.get(host, 0.0))

    def pause_left(self, host: str) -> float:
        return max(0.0, self._paused_until.get(host, 0.0) - time.monotonic())

    def _forget_when_many(self) -> None:
        """Limits of jobs long gone; only while nobody holds one."""
        if len(self._windows) > 500:
            idle = [key for key, window in self._windows.items() if not window.locked()]
            for key in idle[:250]:
                self._windows.pop(key, None)
                self._steps.pop(key, None)
