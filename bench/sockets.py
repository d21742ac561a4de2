"""Browsers for bench/push.py: a process of their own, so that the measuring costs the measured
nothing but processor time. Frames are counted, not parsed."""

import asyncio
import base64
import multiprocessing
import os
import random
import struct
import time
from multiprocessing.connection import Connection
from typing import Any

ANSWER_EVERY = 100
PING = b'{"type":"ping"}'
# A masked text frame with the mask 0.
PING_FRAME = bytes([0x81, 0x80 | len(PING), 0, 0, 0, 0]) + PING


class Socket(asyncio.Protocol):
    """The least a browser does: handshake, frames in, now and then an answer out."""

    def __init__(self, group: "Group", path: str, host: str, cookie: str) -> None:
        self.group, self.path, self.host, self.cookie = group, path, host, cookie
        self.buffer = b""
        self.is_open = False
        self.taken = -1  # the snapshot is no delta
        self.first = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\nOrigin: http://{self.host}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\nCookie: {self.cookie}\r\n\r\n".encode()
        )

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.first.done():
            self.first.set_exception(ConnectionError())

    def data_received(self, received: bytes) -> None:
        now = time.perf_counter()
        data = self.buffer + received
        place = 0
        if not self.is_open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.buffer = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self.transport.close()
                return
            self.is_open, place = True, end + 4
        while len(data) - place >= 2:
            length, head = data[place + 1] & 127, 2
            if length == 126:
                if len(data) - place < 4:
                    break
                length, head = struct.unpack_from("!H", data, place + 2)[0], 4
            elif length == 127:
                if len(data) - place < 10:
                    break
                length, head = struct.unpack_from("!Q", data, place + 2)[0], 10
            if len(data) - place < head + length:
                break
            if data[place] == 0x81:
                self.take(now, data[place + head : place + head + length])
            elif data[place] == 0x89:  # the server asks for a sign of life
                mask = bytes([0x8A, 0x80 | length, 0, 0, 0, 0])
                self.transport.write(mask + data[place + head : place + head + length])
            place += head + length
        self.buffer = data[place:]

    def take(self, now: float, frame: bytes) -> None:
        if self.taken < 0:
            self.taken = 0
            self.first.set_result(None)
            return
        count = frame.count(b'{"type":"job"')  # several messages may come in one frame
        if not count:
            return
        self.taken += 1
        self.group.times.append(now)
        self.group.frames.value += count
        if self.taken % ANSWER_EVERY == 0:
            self.transport.write(PING_FRAME)


class Group:
    def __init__(self, frames: Any) -> None:
        self.frames = frames
        self.times: list[float] = []
        self.sockets: list[Socket] = []

    async def connect(self, port: int, cookies: list[str]) -> list[float]:
        loop = asyncio.get_running_loop()
        host = f"127.0.0.1:{port}"

        async def one(cookie: str) -> float:
            began = time.perf_counter()
            while True:  # a refused browser comes again, as the page's does
                _, socket = await loop.create_connection(
                    lambda: Socket(self, "/ws/jobs", host, cookie), "127.0.0.1", port
                )
                try:
                    await socket.first
                except ConnectionError:
                    await asyncio.sleep(random.random())
                    continue
                self.sockets.append(socket)
                return time.perf_counter() - began

        return await asyncio.gather(*(one(cookie) for cookie in cookies))

    def close(self) -> None:
        for socket in self.sockets:
            socket.transport.close()
        self.sockets.clear()


def serve(pipe: Connection, frames: Any) -> None:
    """Obey (name, arguments) until None comes."""

    async def run() -> None:
        group = Group(frames)
        loop = asyncio.get_running_loop()
        while (order := await loop.run_in_executor(None, pipe.recv)) is not None:
            name, arguments = order
            if name == "connect":
                pipe.send(await group.connect(*arguments))
            elif name == "times":
                pipe.send(group.times)
                group.times = []
            else:
                group.close()
                pipe.send(None)

    asyncio.run(run())


class Browsers:
    """`connect(port, cookies)` → seconds until each had its first frame; `times()`; `frames`."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._frames = context.Value("q", 0, lock=False)
        self.pipe, inner = context.Pipe()
        self.process = context.Process(target=serve, args=(inner, self._frames), daemon=True)
        self.process.start()

    @property
    def frames(self) -> int:
        return int(self._frames.value)

    def ask(self, name: str, *arguments: Any) -> Any:
        self.pipe.send((name, arguments))
        return self.pipe.recv()

    def end(self) -> None:
        self.ask("close")
        self.pipe.send(None)
        self.process.join(5)
