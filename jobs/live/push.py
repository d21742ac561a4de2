"""The only code that sends to the channel layer.

A push is a hint with facts; it may be lost (the hub's safety poll mends that), so a failure is
logged and never fatal. One thread a process sends, so that no worker waits for a layer that is
slow or away; it sends a job's first change at once and a busy job at most twice a second.
"""

import asyncio
import atexit
import logging
import os
import threading
import time
from collections.abc import Iterable

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection

from jobs.live import facts

logger = logging.getLogger(__name__)

SECONDS_BETWEEN = 0.5


def group_name(team_id: int) -> str:
    return f"team.{team_id}"


def push_job(job_id: int) -> None:
    """Tell the job's team that it changed; returns at once."""
    if getattr(settings, "PUSH_IS_OFF", False):
        return
    _pusher().add(job_id)


def push_team(team_id: int) -> None:
    """Tell the team that many of its jobs changed together; returns at once."""
    if getattr(settings, "PUSH_IS_OFF", False):
        return
    _pusher().add_team(team_id)


class Pusher:
    """Sends the latest facts of jobs that were added, each at most twice a second."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._due: dict[int, float] = {}
        self._sent: dict[int, float] = {}
        self._teams: set[int] = set()
        self._wake = threading.Condition()
        self._is_sending = False
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)
        self._thread.start()

    def add(self, job_id: int) -> None:
        with self._wake:
            due = self._sent.get(job_id, 0.0) + SECONDS_BETWEEN
            self._due.setdefault(job_id, due)
            self._wake.notify()

    def add_team(self, team_id: int) -> None:
        with self._wake:
            self._teams.add(team_id)
            self._wake.notify()

    def flush(self, seconds: float = 1.0) -> None:
        """Wait until everything added is sent, so that a short command's last words arrive."""
        end = time.monotonic() + seconds
        with self._wake:
            for job_id in self._due:
                self._due[job_id] = 0.0
            self._wake.notify()
            while (self._due or self._teams or self._is_sending) and time.monotonic() < end:
                self._wake.wait(0.02)

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        while True:
            job_ids, teams = self._next()
            try:
                loop.run_until_complete(send_teams(teams))
                loop.run_until_complete(send(facts.load_ids(job_ids)))
            except Exception as error:  # noqa: BLE001 - whatever the layer or database raises
                logger.warning("Screens were not told of %d jobs: %s", len(job_ids), error)
                connection.close()
            with self._wake:
                self._is_sending = False
                self._wake.notify_all()

    def _next(self) -> tuple[list[int], set[int]]:
        with self._wake:
            while True:
                now = time.monotonic()
                ready = [job_id for job_id, due in self._due.items() if due <= now]
                if ready or self._teams:
                    break
                soonest = min(self._due.values(), default=now + 60)
                if not self._due and connection.connection is not None:
                    connection.close()  # an idle process holds no connection for this
                self._wake.wait(max(0.0, soonest - now))
            for job_id in ready:
                del self._due[job_id]
                self._sent[job_id] = now
            if len(self._sent) > 2_000:
                self._sent = {k: t for k, t in self._sent.items() if now - t < SECONDS_BETWEEN}
            self._is_sending = True
            teams, self._teams = self._teams, set()
            return ready, teams


async def send(jobs: list[dict[str, object]]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    for job in jobs:
        await layer.group_send(group_name(int(str(job["team"]))), {"type": "hub.job", "job": job})


async def send_teams(team_ids: Iterable[int]) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    for team_id in team_ids:
        await layer.group_send(group_name(team_id), {"type": "hub.team", "team": team_id})


_held: list[Pusher] = []
_lock = threading.Lock()


def _pusher() -> Pusher:
    """This process's pusher; a forked child makes its own."""
    with _lock:
        if not _held or _held[0].pid != os.getpid():
            _held[:] = [Pusher()]
            atexit.register(_held[0].flush)
        return _held[0]


def renew() -> None:
    """Let the next push make a pusher anew: the present one keeps the database and the layer it
    began with, and both have been changed under it (the tests' portals do that)."""
    with _lock:
        if _held:
            _held.pop().flush()
