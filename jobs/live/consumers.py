"""The one socket of a page: Active Jobs and ActiveAction both listen to it."""

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from typing import Any

from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from config.frames import EXTENSION, DirectWriter, text_frame
from jobs.live.feed import Subscriber, dumps, now_ms, together
from jobs.live.hub import hub
from jobs.live.rights import SIGNED_OUT

logger = logging.getLogger(__name__)

TRY_AGAIN = 1013
TOO_MUCH = 4408
TOO_MANY = 4429
MESSAGES_A_MINUTE = 120
MESSAGE_BYTES = 1_024
SOCKETS_A_USER = 100  # in one web process
# So many messages may be on their way to a browser that has not answered since; it answers every
# hundredth at once. The server below us would buffer without end for one that does not read.
WINDOW = 300
DRAIN_SECONDS = 0.1  # a browser's connection that is full is looked at this often

_open_sockets: Counter[int] = Counter()


class JobsConsumer(AsyncWebsocketConsumer):
    """Server to browser: `snapshot` first, then `job` deltas and `pong`s (docs/live.md).

    Browser to server: `{"type": "ping"}` and `{"type": "resync"}`, nothing else.
    """

    subscriber: Subscriber | None = None
    _writer: asyncio.Task[None] | None = None
    _watch: asyncio.Task[None] | None = None
    _window = 0.0
    _received = 0
    _unanswered = 0
    _direct: DirectWriter | None = None
    _is_writing = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As Channels does it, without a channel of the layer: the hub has the only one."""
        self.scope, self.base_send = scope, send
        with contextlib.suppress(StopConsumer):
            while True:
                await self.dispatch(await receive())

    async def dispatch(self, message: Any) -> None:
        """As Channels does it, without a visit to the database's thread for every message."""
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        # Accepted before anything is known: only so does a browser learn the code of the close and
        # stop asking, and no handshake runs out of time while a thousand others wait for answers.
        await self.accept()
        try:
            holder = await hub().door.holder_of(self.scope.get("cookies", {}).get("sessionid", ""))
        except Exception:  # noqa: BLE001 - the database is away, whatever it raises
            logger.warning("A socket was turned away: the database did not answer.")
            await self.close(TRY_AGAIN)
            return
        if holder is None:
            await self.close(SIGNED_OUT)
            return
        if _open_sockets[holder.user_id] >= SOCKETS_A_USER:
            await self.close(TOO_MANY)
            return
        self.subscriber = Subscriber(
            user_id=holder.user_id,
            session_key=holder.session_key,
            password=holder.password,
            team_ids=holder.team_ids,
            unread=holder.unread,
        )
        _open_sockets[holder.user_id] += 1
        self._answered = asyncio.Event()
        try:
            await hub().subscribe(self.subscriber)
        except Exception:  # noqa: BLE001 - the database is away, whatever it raises
            logger.warning("A socket was turned away: the database did not answer.")
            await self.close(TRY_AGAIN)
            return
        self._direct = (self.scope.get("extensions") or {}).get(EXTENSION)  # type: ignore[assignment]
        await self._say(hub().snapshot(self.subscriber))
        if self._direct is not None:
            self.subscriber.write = self._write_directly
        self._writer = asyncio.create_task(self._write())
        self._watch = asyncio.create_task(self._close_when_rights_end())
        # A notice may have come between the look at its holder and the subscription.
        hub().bell.ask(holder.user_id)

    async def disconnect(self, code: int) -> None:
        for task in (self._writer, self._watch):
            if task is not None:
                task.cancel()
        if self.subscriber is not None:
            _open_sockets[self.subscriber.user_id] -= 1
            if not _open_sockets[self.subscriber.user_id]:
                del _open_sockets[self.subscriber.user_id]
            await hub().unsubscribe(self.subscriber)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        now = time.monotonic()
        if now - self._window > 60:
            self._window, self._received = now, 0
        self._received += 1
        if (
            self._received > MESSAGES_A_MINUTE
            or bytes_data
            or text_data is None
            or len(text_data) > MESSAGE_BYTES
        ):
            await self.close(TOO_MUCH)
            return
        message: Any = None
        with contextlib.suppress(ValueError):
            message = json.loads(text_data)
        kind = message.get("type") if isinstance(message, dict) else None
        if (
            self.subscriber is None
            or self.subscriber.is_closed.is_set()
            or kind not in {"ping", "resync"}
        ):
            return
        self._unanswered = 0
        self._answered.set()
        if kind == "ping":
            await self._say(dumps({"type": "pong", "now": now_ms()}))
        else:
            await self._say(hub().snapshot(self.subscriber))
            # Its person may have read notices on another page meanwhile.
            hub().bell.ask(self.subscriber.user_id)

    async def _say(self, text: str) -> None:
        if self._direct is None or not self._direct.write(text_frame(text)):
            await self.send(text_data=text)

    def _write_directly(self, frame: bytes) -> bool:
        assert self._direct is not None
        if self._is_writing or self._unanswered >= WINDOW or not self._direct.write(frame):
            return False
        self._unanswered += 1
        return True

    async def _write(self) -> None:
        """Tell what could not be told directly."""
        assert self.subscriber is not None
        while True:
            text = await self.subscriber.queue.get()
            self._is_writing = True
            await self._wait_for_room()  # meanwhile the queue fills: then a snapshot
            if self.subscriber.is_closed.is_set():
                return
            if self.subscriber.is_behind:
                text = hub().snapshot(self.subscriber)
            else:
                text = self._with_what_waits(text)
            self._unanswered += 1
            await self._say(text)
            self._is_writing = False

    async def _wait_for_room(self) -> None:
        while self._unanswered >= WINDOW:
            self._answered.clear()
            await self._answered.wait()
        while self._direct is not None and not self._direct.is_idle:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(DRAIN_SECONDS)

    def _with_what_waits(self, text: str) -> str:
        assert self.subscriber is not None
        texts = [text]
        while not self.subscriber.queue.empty():
            texts.append(self.subscriber.queue.get_nowait())
        return together(texts)

    async def _close_when_rights_end(self) -> None:
        assert self.subscriber is not None
        await self.subscriber.is_closed.wait()
        await self.close(self.subscriber.close_code)
