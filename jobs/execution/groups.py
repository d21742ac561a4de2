"""What one batch has to say, gathered and committed in groups.

Intents are short and urgent: calls wait for them. Results may wait a moment for one another, so
a group takes them along when they are due, when they are many, or when no intent is held up.
"""

import asyncio
import time
from collections.abc import Callable

from jobs.execution import journal
from jobs.execution.claims import Claim
from jobs.execution.journal import Fenced, Group
from jobs.execution.passage import Passage
from jobs.execution.program import Program
from jobs.execution.states import RecordState, rows_and_changes
from jobs.execution.stores import Store

RESULT_SECONDS = 0.1  # a result waits no longer for a group, while calls are under way
INTENT_SECONDS = 0.02  # a record that waits for its intent holds a place in the step's window
PURE_SECONDS = 1.0
FUNNEL_SECONDS = 1.0
SHOW_SECONDS = 0.5  # a call that lasts longer is seen in its record's row
GROUP_SIZE = 250
FEW = 20  # records of a batch whose intents go into their rows at once


class Groups:
    """The commits of one batch, one at a time. The caller keeps `calls` (under way) and
    `is_busy` (records still move)."""

    def __init__(
        self,
        claim: Claim,
        program: Program,
        passage: Passage,
        store: Store,
        *,
        on_stopping: Callable[[], None],
        on_lost: Callable[[], None],
    ):
        self.claim, self.program, self.passage, self.store = claim, program, passage, store
        self.calls = 0
        self.is_busy = False
        self.is_leaving = False  # the last commit leaves the batch to another worker
        self.lost: BaseException | None = None
        self.deferred: dict[int, float] = {}  # records that leave the batch, by the loop's clock
        # Intents as one text a group instead of a row each (jobs/execution/intents.py).
        self.logs_intents = False
        self._on_stopping, self._on_lost = on_stopping, on_lost
        self._number = claim.commit_number
        self._results: dict[int, RecordState] = {}
        self._intents: dict[int, RecordState] = {}
        self._result_since = 0.0
        self._unseen: dict[int, tuple[float, RecordState]] = {}  # under way, in the log alone
        self._showing: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flush_at = 0.0
        self._counted_at = time.monotonic()

    # --- What the batch tells -----------------------------------------------------------------

    def result(self, state: RecordState) -> None:
        """The record's row is to be written as it is."""
        if not self._results:
            self._result_since = time.monotonic()
        self._results[state.id] = state
        if self.logs_intents:
            self._unseen.pop(state.id, None)
        self._flush_when_due()

    async def intent(self, state: RecordState) -> None:
        """Returns once the record's intent is durable."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if self.logs_intents and state.id not in self._results:
            self._intents[state.id] = state
            self._flush_when_due()
        else:
            self.result(state)
        await waiter

    def more_began(self) -> None:
        """The records that could begin have: what was held for them may be committed."""
        if (self._results or self._intents) and self.is_busy:
            self._flush_soon(0.0)

    # --- When ---------------------------------------------------------------------------------

    def _flush_when_due(self) -> None:
        if not self.calls or (self.is_busy and len(self._results) >= GROUP_SIZE):
            self._flush_soon(0.0)
        elif self._waiters:
            self._flush_soon(INTENT_SECONDS)
        else:
            # Without a call under way nothing waits for a commit but the progress bar.
            patience = RESULT_SECONDS if self.is_busy else PURE_SECONDS
            self._flush_soon(max(0.0, self._result_since + patience - time.monotonic()))

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
        if self.lost is None and self._flushing is None and (self._results or self._intents):
            self._flushing = asyncio.create_task(self._flush_in_background())

    async def _flush_in_background(self) -> None:
        try:
            await self._commit(is_last=False)
        except Exception as error:  # noqa: BLE001 -- told to whoever runs the batch
            self.lost = self.lost or error
            self._on_lost()
        finally:
            self._flushing = None
            if (self._results or self._intents) and self.lost is None:
                self._flush_when_due()

    async def flush(self, *, is_last: bool = False) -> None:
        """Everything that is ready, now. Raises what an earlier commit met, as Fenced."""
        while self._flushing:
            await asyncio.wait([self._flushing])
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self.lost:
            raise self.lost
        if self._results or self._intents or is_last:
            await self._commit(is_last=is_last)

    # --- The commit ---------------------------------------------------------------------------

    async def _commit(self, *, is_last: bool) -> None:
        group = self._group(is_last=is_last)
        waiters, self._waiters = self._waiters, []
        self._number += 1
        try:
            is_stopping: bool = await self.store.call(
                journal.commit, self.claim, self.program, group, self._number
            )
        except Fenced as fenced:
            for waiter in waiters:
                waiter.cancel()
            await self.store.call(
                journal.keep_as_evidence, self.claim, self.program, group, str(fenced)
            )
            raise
        if is_stopping:
            self._on_stopping()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _group(self, *, is_last: bool) -> Group:
        now = time.monotonic()
        results: dict[int, RecordState] = {}
        if is_last or self._are_results_due(now):
            results, self._results = self._results, {}
        rows, changes = rows_and_changes(results.values())
        intents, self._intents = self._intents, {}
        intended = []
        for state in intents.values():
            if state.id not in results:
                intended.append(state.row())
                self._unseen[state.id] = (now + SHOW_SECONDS, state)
        if intended and not self._showing:
            self._show_later(SHOW_SECONDS)
        deferred: dict[int, float] = {}
        if is_last:
            deferred = {pk: max(0.0, due - now) for pk, due in self.deferred.items()}
            self.deferred = {}
        # The funnel is one row a step, shared by all batches of the job: written once a second.
        is_due = is_last or self.is_leaving or now - self._counted_at > FUNNEL_SECONDS
        if is_due:
            self._counted_at = now
        return Group(
            rows=rows, changes=changes, intents=intended,
            deltas=self.passage.take_deltas() if is_due else {},
            told=self.passage.take_told(), deferred=deferred,
            is_last=is_last and not self.is_leaving,
        )  # fmt: skip

    def _are_results_due(self, now: float) -> bool:
        return (
            not self._intents
            or not self.calls
            or len(self._results) >= GROUP_SIZE
            or now - self._result_since >= RESULT_SECONDS * 0.8
        )

    def _show_later(self, seconds: float) -> None:
        self._showing = asyncio.get_running_loop().call_later(seconds, self._show_slow)

    def _show_slow(self) -> None:
        """Records whose call lasts: from now on their rows say so."""
        self._showing, now = None, time.monotonic()
        if self.lost:
            return
        while self._unseen:
            due, state = next(iter(self._unseen.values()))
            if due > now:
                self._show_later(due - now)
                return
            self.result(state)  # takes it out
