"""A whole batch, step by step: pure steps in memory, intents and results in groups.

Every record that reaches an effect is a small coroutine: it asks for its intent to be made
durable, acts, and hands in the result. When groups of them are committed: jobs/execution/groups.py.
"""

import asyncio
import logging
import time
from typing import Any

from jobs import clock
from jobs.execution import acting, journal
from jobs.execution.claims import Claim
from jobs.execution.effects import LONGEST_NAP, Limits, backoff
from jobs.execution.groups import FEW, Groups
from jobs.execution.pacing import Turns
from jobs.execution.passage import Passage
from jobs.execution.program import CompiledStep, Program
from jobs.execution.states import RecordState
from jobs.execution.stores import Store
from jobs.steps.base import Clients, EffectResult, Failed, Prepared, Retry, Uncertain

log = logging.getLogger("spindle.engine")

MOST_ATTEMPTS = 3  # claims of a batch before a record on its way is given up
CHUNK = 50  # records moved through pure steps before other batches get the loop
CANCELLED = "The job was cancelled before this step began."


class BatchRun:
    """One claimed batch in this worker's hands."""

    def __init__(
        self, claim: Claim, program: Program, *, store: Store, limits: Limits, clients: Clients
    ):
        self.claim, self.program = claim, program
        self.store, self.limits, self.clients = store, limits, clients
        self.passage = Passage(program)
        self.is_stopping = False  # the job is: no effect begins any more
        self.groups = Groups(
            claim, program, self.passage, store,
            on_stopping=self.stop, on_lost=self._cancel_tasks,
        )  # fmt: skip
        self._tasks: set[asyncio.Task[None]] = set()
        # Resolved with the last task, or the first that broke: waiting for the set itself
        # (asyncio.wait) looks at every task each time one ends.
        self._all_ended: asyncio.Future[None] | None = None
        self._turns = Turns(program, store)

    @property
    def is_leaving(self) -> bool:
        """The worker is: nothing new begins, the rest goes back."""
        return self.groups.is_leaving

    def leave(self) -> None:
        self.groups.is_leaving = True

    async def run(self) -> None:
        """To the end of the batch. Raises Fenced when the lease was taken over."""
        states = await self.store.call(
            journal.load, self.claim, is_run=self.program.kind == "spinner"
        )
        early: dict[tuple[int, int], dict[str, Any]] = {}
        if self.program.callback_steps:
            early = await self.store.call(journal.early_callbacks, [s.id for s in states])
        self._early = early
        # Few records, or one at a time: their rows tell what they do from the first moment.
        self.groups.logs_intents = len(states) > FEW and not self.claim.is_split
        if self.claim.is_split:
            await self._run_one_by_one(states)
        else:
            await self._run_together(states)
        await self.groups.flush(is_last=True)

    async def _run_together(self, states: list[RecordState]) -> None:
        self.groups.calls += 1  # nothing is committed in a hurry while there is more to begin
        for start in range(0, len(states), CHUNK):
            for state in states[start : start + CHUNK]:
                self._begin(state)
            await asyncio.sleep(0)
            if self.groups.lost:
                raise self.groups.lost
        self.groups.calls -= 1
        self.groups.more_began()
        while self._tasks:
            self._all_ended = asyncio.get_running_loop().create_future()
            await self._all_ended
            if self.groups.lost:
                await self._abandon()
                raise self.groups.lost

    async def _run_one_by_one(self, states: list[RecordState]) -> None:
        """A batch that keeps killing its workers: each record is marked before it begins, so that
        the next worker knows which one it was.
        """
        for state in states:
            was_marked = state.intent_at is not None and not state.intent_step
            if was_marked or (state.intent_step and self.claim.attempt > MOST_ATTEMPTS):
                self._poisoned(state)
                continue
            state.status = "running"
            if not state.intent_step:
                state.intent_at = clock.now()  # the mark
            self.groups.result(state)
            await self.groups.flush()
            self._begin(state)
            await self._run_together([])
            await self.groups.flush()

    def _poisoned(self, state: RecordState) -> None:
        step = self.program.at(state.next_step)
        if step and state.intent_step and step.step.effect_class == "unsafe":
            self._take_up(state)
            self.groups.result(state)
            return
        error = "The worker died while it was on this record, three times."
        if step:
            entry = self.passage.open(state, step)
            self.passage.fail(state, step, entry, Failed(error, "worker_lost"), 0)
        else:
            self.passage.end(state, "failed", error=error, error_type="worker_lost")
        self.groups.result(state)

    def _begin(self, state: RecordState) -> None:
        if self.is_stopping or self.is_leaving:
            return  # settle cancels what never began; a leaving worker's rest goes back
        if state.wait_kind and not self.passage.wake(state):
            self.groups.result(state)
            return
        if state.intent_step and not self._take_up(state):
            self.groups.result(state)
            return
        if self._advance(state):
            self._start(self._drive(state))
        else:
            self.groups.result(state)

    def _take_up(self, state: RecordState) -> bool:
        """An intent without a result: a worker was lost between. False: a person must decide."""
        step = self.program.at(state.intent_step)
        if step is None or step.step.effect_class != "unsafe":
            entry = state.entry(state.intent_step)
            if entry:
                self.passage.log(entry, "The worker was lost during the call; taken up again.")
            if step is None or step.step.effect_class == "safe":
                state.intent_step = 0
            return True
        self.passage.arrived(
            state, step, Uncertain("The worker was lost while this call was on its way."), 0
        )
        return False

    def _advance(self, state: RecordState) -> bool:
        goes_on = self.passage.advance(state)
        if not goes_on and state.status == "waiting" and state.wait_kind == "callback":
            return self._answered_early(state)
        return goes_on

    def _answered_early(self, state: RecordState) -> bool:
        payload = self._early.get((state.id, state.next_step))
        step = self.program.at(state.next_step)
        if payload is None or step is None:
            return False
        entry = self.passage.open(state, step)
        self.passage.close(state, step, entry, "completed", 0, output={"callback": payload})
        state.values.update(payload)
        state.status, state.wait_kind, state.wait_until = "running", "", None
        state.wait_token_hash = state.wait_prompt = ""
        state.next_step += 1
        return self._advance(state)

    # --- One record's effects -----------------------------------------------------------------

    def _start(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        self.groups.is_busy = True
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self.groups.is_busy = bool(self._tasks)
        if not task.cancelled() and (error := task.exception()) and self.groups.lost is None:
            self.groups.lost = error
        if (self.groups.lost or not self._tasks) and self._all_ended and not self._all_ended.done():
            self._all_ended.set_result(None)

    async def _drive(self, state: RecordState) -> None:
        """From an effect to the record's end, or to where it leaves the batch."""
        while True:
            step = self.program.steps[state.next_step - 1]
            result = await self._effect(state, step)
            if result is None:
                return  # withdrawn, deferred or left for another worker
            if not isinstance(result, Retry):
                goes_on = state.status == "running" and self._advance(state)
                self.groups.result(state)
                if not goes_on:
                    return
                continue
            if not await self._wait_to_retry(state, step, result):
                return

    async def _effect(self, state: RecordState, step: CompiledStep) -> EffectResult | None:
        prepared = acting.prepare(self.passage, state, step)
        if isinstance(prepared, Failed):
            self.passage.open(state, step)
            self.passage.arrived(state, step, prepared, 0)
            return prepared
        async with self.limits.window(self.program, step):
            if not await self._may_begin(state, prepared.host):
                return None
            probing = state.intent_step == step.number
            attempt = self.passage.intend(state, step, prepared.shown)
            await self.groups.intent(state)
            place, host_place = self.limits.slots(self.program, step, prepared.host)
            async with place, host_place:
                if self.is_stopping:
                    self.passage.withdraw(state, CANCELLED)
                    self.groups.result(state)
                    return None
                self.groups.calls += 1
                began = time.perf_counter()
                try:
                    result = await acting.perform(step, prepared, self.clients, probing=probing)
                finally:
                    self.groups.calls -= 1
            ms = (time.perf_counter() - began) * 1000
        if isinstance(result, Retry) and attempt >= step.step.max_attempts:
            tries = f" (after {attempt} attempts)" if attempt > 1 else ""
            result = Failed(f"{result.error}{tries}", result.error_type, result.output)
        self.passage.arrived(state, step, result, ms)
        return result

    async def _may_begin(self, state: RecordState, host: str) -> bool:
        """Wait for the host's pause and the run's pace, before the intent. False: not now."""
        while not (self.is_stopping or self.is_leaving or self.groups.lost):
            wait = max(self.limits.pause_left(host), await self._turns.next())
            if wait <= 0:
                return True
            if wait > LONGEST_NAP:
                self._defer(state, wait)
                return False
            await asyncio.sleep(wait)
            if not self.limits.pause_left(host):
                break
        if self.is_stopping and state.intent_step:
            return False  # a lost worker's call may be out: settle ends it as uncertain
        if self.is_stopping:
            self.passage.withdraw(state, CANCELLED)
            self.groups.result(state)
            return False
        if self.is_leaving:
            self.groups.result(state)
            return False
        return True

    async def _wait_to_retry(self, state: RecordState, step: CompiledStep, retry: Retry) -> bool:
        """Back-off. Short ones here; longer ones in a batch of their own. False: it has left."""
        entry = state.entry(step.number)
        wait = backoff(entry["attempts"] if entry else 1, retry.after_seconds)
        if retry.pause_host:
            prepared = acting.prepare(self.passage, state, step)
            if isinstance(prepared, Prepared):
                self.limits.pause(prepared.host, wait)
        self.groups.result(state)  # the attempt was definite: its intent is no longer in doubt
        if wait > LONGEST_NAP:
            self._defer(state, wait)
            return False
        deadline = time.monotonic() + wait
        while (left := deadline - time.monotonic()) > 0:
            if self.is_stopping or self.is_leaving:
                break
            await asyncio.sleep(min(left, 0.5))
        if self.is_stopping:
            self.passage.withdraw(state, CANCELLED)
            self.groups.result(state)
            return False
        return not self.is_leaving

    def _defer(self, state: RecordState, seconds: float) -> None:
        self.groups.deferred[state.id] = time.monotonic() + seconds
        self.groups.result(state)

    def stop(self) -> None:
        """The job is being stopped: see `is_stopping`."""
        self.is_stopping = True

    def _cancel_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    async def _abandon(self) -> None:
        self._cancel_tasks()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
