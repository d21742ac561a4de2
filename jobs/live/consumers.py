"""The one socket of a page: Active Jobs and ActiveAction both listen to it."""

import asyncio
import contextlib
import json
import time
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from jobs.live.hub import Subscriber, dumps, hub, now_ms
from jobs.live.rights import SIGNED_OUT, holder_of

TOO_MUCH = 4408
MESSAGES_A_MINUTE = 120
MESSAGE_BYTES = 1_024


class JobsConsumer(AsyncWebsocketConsumer):
    """Server to browser: `snapshot` first, then `job` deltas and `pong`s (docs/live.md).

    Browser to server: `{"type": "ping"}` and `{"type": "resync"}`, nothing else.
    """

    subscriber: Subscriber | None = None
    _writer: asyncio.Task[None] | None = None
    _watch: asyncio.Task[None] | None = None
    _window = 0.0
    _received = 0

    async def connect(self) -> None:
        holder = await holder_of(self.scope.get("cookies", {}).get("sessionid", ""))
        if holder is None:
            await self.close(SIGNED_OUT)
            return
        self.subscriber = Subscriber(
            user_id=holder.user_id,
            session_key=holder.session_key,
            password=holder.password,
            team_ids=holder.team_ids,
        )
        await self.accept()
        await hub().subscribe(self.subscriber)
        await self.send(text_data=hub().snapshot(self.subscriber))
        self._writer = asyncio.create_task(self._write())
        self._watch = asyncio.create_task(self._close_when_rights_end())

    async def disconnect(self, code: int) -> None:
        for task in (self._writer, self._watch):
            if task is not None:
                task.cancel()
        if self.subscriber is not None:
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
        if kind == "ping":
            await self.send(text_data=dumps({"type": "pong", "now": now_ms()}))
        elif kind == "resync" and self.subscriber is not None:
            await self.send(text_data=hub().snapshot(self.subscriber))

    async def _write(self) -> None:
        assert self.subscriber is not None
        while True:
            text = await self.subscriber.queue.get()
            if self.subscriber.is_closed.is_set():
                return
            if self.subscriber.is_behind:
                self.subscriber.is_behind = False
                text = hub().snapshot(self.subscriber)
            await self.send(text_data=text)

    async def _close_when_rights_end(self) -> None:
        assert self.subscriber is not None
        await self.subscriber.is_closed.wait()
        await self.close(self.subscriber.close_code)
