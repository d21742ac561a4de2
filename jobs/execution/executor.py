"""A whole batch, step by step: pure steps in memory, intents and results in groups.

Every record that reaches an effect is a small coroutine: it asks for its intent to be made
durable, acts, and hands in the result. A group is committed when everything waits for it, when it
is large, 20 ms after its first intent or 100 ms after its first result, while the other calls fly
on.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

from jobs.execution import acting, journal
from jobs.execution.claims import Claim
from jobs.execution.effects import LONGEST_NAP, Limits, backoff
from jobs.execution.journal import Answer, Fenced, Group
from jobs.execution.pacing import Turns
from jobs.execution.passage import Passage
from jobs.execution.program import CompiledStep, Program
from jobs.execution.states import RecordState, rows_and_changes
from jobs.execution.stores import Store
from jobs.steps.base import Clients, EffectResult, Failed, Prepared, Retry, Uncertain

log = logging.getLogger("spindle.engine")

GROUP_SECONDS = 0.1
INTENT_SECONDS = 0.02  # a record that waits for its intent holds a place in the step's window
PURE_GROUP_SECONDS = 1.0
FUNNEL_SECONDS = 1.0
GROUP_SIZE = 250
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
        self.is_leaving = False  # the worker is: nothing new begins, the rest goes back
        self.has_ended = False
        self._commit_number = claim.commit_number
        self._dirty: dict[int, RecordState] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._in_flight = 0
        self._flushing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flush_at = 0.0
        self._lost: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        # Resolved with the last task, or the first that broke: waiting for the set itself
        # (asyncio.wait) looks at every task each time one ends.
        self._all_ended: asyncio.Future[None] | None = None
        self._deferred: dict[int, float] = {}  # by the loop's clock
        self._turns = Turns(program, store)
        self._counted_at = time.monotonic()

    async def run(self) -> None:
        """To the end of the batch. Raises Fenced when the lease was taken over."""
        states = await self.store.call(
            journal.load, self.claim, is_run=self.program.kind == "spinner"
        )
        early: dict[tuple[int, int], dict[str, Any]] = {}
        if self.program.callback_steps:
            early = await self.store.call(journal.early_callbacks, [s.id for s in states])
        self._early = early
        if self.claim.is_split:
            await self._run_one_by_one(states)
        else:
            await self._run_together(states)
        await self._flush(is_last=True)

    async def _run_together(self, states: list[RecordState]) -> None:
        self._in_flight += 1  # nothing is committed in a hurry while there is more to begin
        for start in range(0, len(states), CHUNK):
            for state in states[start : start + CHUNK]:
                self._begin(state)
            await asyncio.sleep(0)
            if self._lost:
                raise self._lost
        self._in_flight -= 1
        if self._dirty and self._tasks:
            self._flush_soon(0.0)
        while self._tasks:
            self._all_ended = asyncio.get_running_loop().create_future()
            await self._all_ended
            if self._lost:
                await self._abandon()
                raise self._lost

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
                state.intent_at = datetime.now(UTC)  # the mark
            self._touch(state)
            await self._flush()
            self._begin(state)
            await self._run_together([])
            await self._flush()

    def _poisoned(self, state: RecordState) -> None:
        step = self.program.at(state.next_step)
        if step and state.intent_step and step.step.effect_class == "unsafe":
            self._take_up(state)
            self._touch(state)
            return
        error = "The worker died while it was on this record, three times."
        if step:
            entry = self.passage.open(state, step)
            self.passage.fail(state, step, entry, Failed(error, "worker_lost"), 0)
        else:
            self.passage.end(state, "failed", error=error, error_type="worker_lost")
        self._touch(state)

    def _begin(self, state: RecordState) -> None:
        if self.is_stopping or self.is_leaving:
            return  # settle cancels what never began; a leaving worker's rest goes back
        if state.wait_kind and not self.passage.wake(state):
            self._touch(state)
            return
        if state.intent_step and not self._take_up(state):
            self._touch(state)
            return
        if self._advance(state):
            self._start(self._drive(state))
        else:
            self._touch(state)

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
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and self._lost is None:
            self._lost = error
        if (self._lost or not self._tasks) and self._all_ended and not self._all_ended.done():
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
                self._touch(state)
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
            await self._durable(state)
            place, host_place = self.limits.slots(self.program, step, prepared.host)
            async with place, host_place:
                if self.is_stopping:
                    self.passage.withdraw(state, CANCELLED)
                    self._touch(state)
                    return None
                self._in_flight += 1
                began = time.perf_counter()
                try:
                    result = await acting.perform(step, prepared, self.clients, probing=probing)
                finally:
                    self._in_flight -= 1
            ms = (time.perf_counter() - began) * 1000
        if isinstance(result, Retry) and attempt >= step.step.max_attempts:
            tries = f" (after {attempt} attempts)" if attempt > 1 else ""
            result = Failed(f"{result.error}{tries}", result.error_type, result.output)
        self.passage.arrived(state, step, result, ms)
        return result

    async def _may_begin(self, state: RecordState, host: str) -> bool:
        """Wait for the host's pause and the run's pace, before the intent. False: not now."""
        while not (self.is_stopping or self.is_leaving or self._lost):
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
            self._touch(state)
            return False
        if self.is_leaving:
            self._touch(state)
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
        self._touch(state)  # the attempt was definite: its intent is no longer in doubt
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
            self._touch(state)
            return False
        return not self.is_leaving

    def _defer(self, state: RecordState, seconds: float) -> None:
        self._deferred[state.id] = time.monotonic() + seconds
        self._touch(state)

    # --- Groups -------------------------------------------------------------------------------

    def _touch(self, state: RecordState) -> None:
        self._dirty[state.id] = state
        if not self._in_flight or (self._tasks and len(self._dirty) >= GROUP_SIZE):
            self._flush_soon(0.0)
        else:
            self._flush_soon(self._patience())

    def _patience(self) -> float:
        """Without a call under way nothing waits for a commit but the progress bar."""
        if self._waiters:
            return INTENT_SECONDS
        return GROUP_SECONDS if self._tasks else PURE_GROUP_SECONDS

    async def _durable(self, state: RecordState) -> None:
        """Returns once the record's intent is committed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._touch(state)
        await waiter

    def _flush_soon(self, seconds: float) -> None:
        if self._flushing:
            return  # the present commit looks again when it is through
        loop = asyncio.get_running_loop()
        if self._timer:
            if self._flush_at <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._flush_at = loop.time() + seconds
        # call_later, also for "now": the records that are ready join the group first.
        self._timer = loop.call_later(seconds, self._start_flush)

    def _start_flush(self) -> None:
        self._timer = None
        if self._lost is None and self._flushing is None and self._dirty:
            self._flushing = asyncio.create_task(self._flush_in_background())

    async def _flush_in_background(self) -> None:
        try:
            await self._commit(is_last=False)
        except Exception as error:  # noqa: BLE001 -- told to whoever runs the batch
            self._lost = self._lost or error
            for task in self._tasks:
                task.cancel()
        finally:
            self._flushing = None
            if self._dirty and self._lost is None:
                self._flush_soon(0.0 if not self._in_flight else self._patience() / 2)

    async def _flush(self, *, is_last: bool = False) -> None:
        while self._flushing:
            await asyncio.wait([self._flushing])
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._lost:
            raise self._lost
        if self._dirty or is_last:
            await self._commit(is_last=is_last)

    async def _commit(self, *, is_last: bool) -> None:
        group = self._group(is_last=is_last)
        waiters, self._waiters = self._waiters, []
        self._commit_number += 1
        try:
            answer: Answer = await self.store.call(
                journal.commit, self.claim, self.program, group, self._commit_number
            )
        except Fenced as fenced:
            for waiter in waiters:
                waiter.cancel()
            await self.store.call(
                journal.keep_as_evidence, self.claim, self.program, group, str(fenced)
            )
            raise
        self.is_stopping = self.is_stopping or answer.is_stopping
        self.has_ended = answer.has_ended
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _group(self, *, is_last: bool) -> Group:
        rows, changes = rows_and_changes(self._dirty.values())
        self._dirty = {}
        deferred: dict[int, float] = {}
        if is_last:
            now = time.monotonic()
            deferred = {pk: max(0.0, due - now) for pk, due in self._deferred.items()}
            self._deferred = {}
        # The funnel is one row a step, shared by all batches of the job: written once a second.
        now = time.monotonic()
        is_due = is_last or self.is_leaving or now - self._counted_at > FUNNEL_SECONDS
        if is_due:
            self._counted_at = now
        return Group(
            rows=rows, changes=changes,
            deltas=self.passage.take_deltas() if is_due else {},
            told=self.passage.take_told(), deferred=deferred,
            is_last=is_last and not self.is_leaving,
        )  # fmt: skip

    async def _abandon(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
