"""An application for test_frames.py: frames of both ways in turn, then more than a socket holds."""

import asyncio
from typing import Any

from config.frames import EXTENSION, DirectWriter, text_frame

SIZES = [1, 125, 126, 700, 65_535, 65_536, 70_000]
FLOOD, FLOOD_SIZE = 400, 50_000


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    writer = scope["extensions"][EXTENSION]
    await _idle(writer)
    for size in SIZES:
        assert writer.write(text_frame("d" * size))
        await send({"type": "websocket.send", "text": "s" * size})
        await _idle(writer)
    await receive()  # the client has read all that, and reads no more for now
    refused = 0
    for number in range(FLOOD):
        text = f"{number:06}" + "x" * FLOOD_SIZE
        if not writer.write(text_frame(text)):
            refused += 1
            await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.send", "text": f"refused {refused}, idle {writer.is_idle}"})
    await receive()


async def _idle(writer: DirectWriter) -> None:
    while not writer.is_idle:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.001)
