"""One worker's engine: takes batches while there are any and keeps several under way.

The event loop does the thinking and the network; database work runs on threads of its own (or,
in tests, on the caller's thread), whose connections Celery does not close around every task.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from typing import Any, cast

from django.conf import settings

from jobs.execution import claims, planning, statistics
from jobs.execution.claims import Claim
from jobs.execution.effects import Limits
from jobs.execution.executor import BatchRun
from jobs.execution.hints import hint
from jobs.execution.journal import Fenced
from jobs.execution.program import CannotCompile, Program, Programs
from jobs.execution.step_kinds import Lacking
from jobs.execution.stopping import stop_job
from jobs.execution.stores import CallerStore, ThreadStore
from jobs.steps.base import Clients

log = logging.getLogger("spindle.engine")

LOOK_AGAIN_SECONDS = 0.25


class Engine:
    """Shared by everything this worker does at once; lives on one event loop."""

    def __init__(self, owner: str, *, store: ThreadStore | CallerStore, clients: Clients):
        self.owner, self.store, self.clients = owner, store, clients
        self.limits = Limits()
        self.programs = Programs()
        self.lacking = Lacking(self.programs)
        self.runs: dict[asyncio.Task[None], BatchRun | None] = {}
        self.claims: dict[asyncio.Task[None], Claim] = {}
        self.is_leaving = False
        self._plan_at = 0.0
        self.ticked_at = time.monotonic()  # watched by the heartbeat (jobs/execution/worker.py)

    async def run(self) -> None:
        """Work until nothing is due and nothing under way, or until told to leave."""
        has_told: asyncio.Future[None] | None = None
        while True:
            more = not self.is_leaving and await self._fill()
            if self.runs and has_told is None:
                # Where one worker found work, another may find some. On a thread of its own: a
                # broker that is away must not hold up a commit.
                has_told = asyncio.get_running_loop().run_in_executor(None, hint)
            if not self.runs:
                if more:
                    continue
                await self.store.call(statistics.flush_minutes, after_seconds=0.0)
                return
            await asyncio.wait(
                self.runs, timeout=LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )

    async def tick(self) -> None:
        """For ever: the loop is alive. A database that is away does not stop it."""
        while True:
            self.ticked_at = time.monotonic()
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def leave(self) -> None:
        """Stop soon: nothing new begins, calls under way finish, the rest goes back."""
        self.is_leaving = True
        for run in self.runs.values():
            if run:
                run.leave()

    def held(self) -> list[Claim]:
        return list(self.claims.values())

    def stop_jobs(self, job_ids: set[int]) -> None:
        """Told by the heartbeat: these jobs are being cancelled."""
        for run in self.runs.values():
            if run and run.claim.job_id in job_ids:
                run.stop()

    async def _fill(self) -> bool:
        """Claim up to the limits. True where something was found or is under way."""
        per_job = settings.BATCHES_IN_FLIGHT
        many = 4 * per_job
        while len(self.runs) < 2 * many and not self.is_leaving:
            held = Counter(claim.job_id for claim in self.claims.values())
            # Beyond that only teams that have nothing here yet: whose calls hang holds up nobody
            # else's.
            teams = {claim.team_id for claim in self.claims.values()}
            # Beyond the usual number only jobs that have nothing here yet: a small one starts at
            # once behind a large one whose calls are slow.
            most = per_job if len(self.runs) < per_job else 1
            full = [job_id for job_id, count in held.items() if count >= most]
            lacking = self.lacking.job_ids()
            claim: Claim | None = await self.store.call(
                claims.claim_next,
                self.owner,
                without_jobs=[*full, *lacking],
                without_teams=teams if len(self.runs) >= many else (),
                may_claim=self.lacking.may_claim,
            )
            if claim is not None:
                self._begin(claim)
            elif len(self.lacking.job_ids()) == len(lacking):
                break  # else it looks behind those it found it cannot do
        if self.lacking.job_ids():
            await self.store.call(self.lacking.look_after)
        # What ends from here on makes room for batches that were passed over above.
        is_busy, now = bool(self.runs), time.monotonic()
        if now < self._plan_at:
            return is_busy
        planned = bool(await self.store.call(planning.plan_next))
        self._plan_at = now if planned else now + LOOK_AGAIN_SECONDS
        return planned or is_busy

    def _begin(self, claim: Claim) -> None:
        task = asyncio.create_task(self._run(claim))
        self.runs[task], self.claims[task] = None, claim
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.runs.pop(task, None)
        claim = self.claims.pop(task, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("Batch %s ended early: %r", claim and claim.batch_id, error, exc_info=error)

    async def _run(self, claim: Claim) -> None:
        try:
            program: Program = await self.store.call(self.programs.of, claim.job_id)
        except CannotCompile as error:
            await self.store.call(stop_job, claim, str(error), "configuration")
            return
        run = BatchRun(claim, program, store=self.store, limits=self.limits, clients=self.clients)
        task = asyncio.current_task()
        assert task is not None
        self.runs[task] = run
        if self.is_leaving:
            run.leave()
        try:
            await run.run()
        except Fenced as fenced:
            log.warning("Batch %s of job #%s: %s.", claim.batch_id, claim.job_id, fenced)
            return
        if run.is_leaving:
            await self.store.call(claims.release, claim)


def run_here(owner: str = "here", *, clients: Clients | None = None, seconds: float = 60) -> None:
    """Work off everything that is due, with all database work on the calling thread.

    For tests, which see it inside their own transaction.
    """
    store = CallerStore()
    failure: list[BaseException] = []

    async def work() -> None:
        engine = Engine(owner, store=store, clients=clients or cast(Clients, NoClients()))
        asyncio.get_running_loop().call_later(seconds, engine.leave)
        await engine.run()

    def loop_thread() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 -- raised again on the caller's thread
            failure.append(error)
        finally:
            store.stop()

    thread = threading.Thread(target=loop_thread, name="spindle-engine-here")
    thread.start()
    store.serve()
    thread.join()
    if failure:
        raise failure[0]


class NoClients:
    http: Any = None
    smtp: Any = None
