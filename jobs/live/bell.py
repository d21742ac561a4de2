"""The number beside the bell on open pages: told to its own person's sockets, and to nobody else's.

The hub says which jobs have ended, and whose page was looked at again. Who is told of it is read
here, after the end was committed; so nobody's name crosses the channel layer, a lost push is
mended with the job's, and the number is always that of the database.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from channels.db import database_sync_to_async

from jobs.live.feed import Subscriber, dumps, now_ms
from jobs.notices import reading

logger = logging.getLogger(__name__)

# Jobs that end together are asked for together; and sockets that are being told go first.
PATIENCE_SECONDS = 0.25
AGAIN_SECONDS = 3.0  # while the database is away


class Bell:
    def __init__(self, subscribers: Callable[[], Iterable[Subscriber]]):
        self._subscribers = subscribers
        self._ended: set[int] = set()
        self._asked: set[int] = set()
        self._is_due = asyncio.Event()

    def job_ended(self, job_id: int) -> None:
        self._ended.add(job_id)
        self._is_due.set()

    def ask(self, user_id: int) -> None:
        """Look again: the person may have read something on another page."""
        self._asked.add(user_id)
        self._is_due.set()

    async def ring(self) -> None:
        """For ever; what could not be read is asked for again."""
        while True:
            await self._is_due.wait()
            await asyncio.sleep(PATIENCE_SECONDS)
            self._is_due.clear()
            ended, asked = self._ended, self._asked
            self._ended, self._asked = set(), set()
            try:
                self._tell(await _counts(ended, asked), asked)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - the database may be away
                logger.warning("Unread notices could not be counted: %s", error)
                self._ended |= ended
                self._asked |= asked
                self._is_due.set()
                await asyncio.sleep(AGAIN_SECONDS)

    def _tell(self, counts: dict[int, int], asked: set[int]) -> None:
        for subscriber in set(self._subscribers()):
            known = subscriber.unread
            if known is None:  # a program, which has no bell
                continue
            user_id = subscriber.user_id
            count = counts.get(user_id, 0 if user_id in asked else known)
            if count != known:
                subscriber.unread = count
                subscriber.offer(dumps({"type": "notices", "now": now_ms(), "unread": count}))


@database_sync_to_async
def _counts(ended: set[int], asked: set[int]) -> dict[int, int]:
    """One query for those who are told of these jobs, one for those who were asked after."""
    found = reading.unread_of_told(ended) if ended else {}
    return {**found, **(reading.unread_counts(asked) if asked else {})}
