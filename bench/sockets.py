"""Browsers for bench/push.py: a process of their own, so that the measuring costs the measured
nothing but processor time. Frames are counted, not parsed."""

import asyncio
import base64
import contextlib
import errno
import multiprocessing
import os
import random
import select
import signal
import socket
import struct
import time
from collections.abc import Coroutine
from multiprocessing.connection import Connection
from typing import Any

from config import tether

ANSWER_EVERY = 100
CONNECTING = 100  # so many handshakes are under way at once; a storm knows no such limit
# The page's own, config/static/js/socket.js:
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0
OPEN_SECONDS = 30.0
PING = b'{"type":"ping"}'
# A masked text frame with the mask 0.
PING_FRAME = bytes([0x81, 0x80 | len(PING), 0, 0, 0, 0]) + PING


class Socket:
    """The least a browser does: handshake, frames in, now and then an answer out."""

    def __init__(self, group: "Group", cookie: str) -> None:
        self.group, self.cookie = group, cookie
        self.socket = socket.socket()
        self.socket.setblocking(False)  # noqa: FBT003
        self.buffer = b""
        self.has_snapshot = False
        self.taken = random.randrange(ANSWER_EVERY)
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_lost = asyncio.Event()

    async def open(self, port: int) -> None:
        """Until the snapshot is here."""
        loop, host = asyncio.get_running_loop(), f"127.0.0.1:{port}"
        await loop.sock_connect(self.socket, ("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        await loop.sock_sendall(
            self.socket,
            f"GET /ws/jobs HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\nCookie: {self.cookie}\r\n\r\n".encode(),
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = await loop.sock_recv(self.socket, 65_536)
            if not received:
                raise ConnectionError
            answer += received
        if not answer.startswith(b"HTTP/1.1 101"):
            raise ConnectionError
        self.group.watch(self)
        self.received(answer.partition(b"\r\n\r\n")[2])
        await self.first

    def read(self) -> None:
        try:
            received = self.socket.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if received:
            self.received(received)
        else:
            self.close()

    def close(self) -> None:
        self.group.forget(self)
        self.socket.close()
        self.is_lost.set()
        if not self.first.done():
            self.first.set_exception(ConnectionError())
            self.first.exception()  # nobody may be waiting, and that is no fault

    def send(self, frame: bytes) -> None:
        with contextlib.suppress(OSError):
            self.socket.send(frame)

    def received(self, received: bytes) -> None:
        now = time.perf_counter()
        data = self.buffer + received if self.buffer else received
        place = 0
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
            end = place + head + length
            if len(data) < end:
                break
            if data[place] == 0x81:
                self.take(now, data.count(b'{"type":"job"', place + head, end))
            elif data[place] == 0x89:  # the server asks for a sign of life
                mask = bytes([0x8A, 0x80 | length, 0, 0, 0, 0])
                self.send(mask + data[place + head : end])
            place = end
        self.buffer = data[place:]

    def take(self, now: float, count: int) -> None:
        """A frame, in which several messages may come."""
        if not self.has_snapshot:
            self.has_snapshot = True
            if not self.first.done():  # else given up just now
                self.first.set_result(None)
            return
        if not count:
            return
        self.taken += 1
        self.group.times.append(now)
        self.group.frames.value += count
        if self.taken % ANSWER_EVERY == 0:
            self.send(PING_FRAME)


class Group:
    def __init__(self, frames: Any) -> None:
        self.frames = frames
        self.times: list[float] = []
        self.sockets: list[Socket] = []
        self.port = 0
        self.open_files: dict[int, Socket] = {}
        # One wait for all and a bare read each: asyncio's own way takes twice the time a frame,
        # and then the reader would be what is measured.
        self.epoll = select.epoll()
        asyncio.get_running_loop().add_reader(self.epoll.fileno(), self._read)

    def watch(self, one: Socket) -> None:
        self.open_files[one.socket.fileno()] = one
        self.epoll.register(one.socket.fileno(), select.EPOLLIN)

    def forget(self, one: Socket) -> None:
        if self.open_files.pop(one.socket.fileno(), None) is not None:
            self.epoll.unregister(one.socket.fileno())

    def _read(self) -> None:
        for file, _ in self.epoll.poll(0):
            if one := self.open_files.get(file):
                one.read()

    async def connect(self, port: int, cookies: list[str], seconds: float) -> list[float]:
        """Open a socket for each cookie, some at a time; how long each took to its snapshot."""
        self.port = port
        slots = asyncio.Semaphore(CONNECTING)

        async def one(cookie: str) -> float:
            async with slots:
                return await self._open(cookie)

        return await self._all([one(cookie) for cookie in cookies], seconds)

    async def storm(self, seconds: float) -> list[float]:
        """Wait until every socket is lost, and come back as pages do; how long each was away.
        Those who are not back in time are left out.
        """
        lost, self.sockets = self.sockets, []
        away: list[float] = []

        async def one(gone: Socket) -> None:
            await gone.is_lost.wait()
            away.append(await self._open(gone.cookie, pause_first=True))

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(one(gone) for gone in lost))
        return away

    async def _all(self, waits: "list[Coroutine[Any, Any, float]]", seconds: float) -> list[float]:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.gather(*waits)
        except TimeoutError:
            raise RuntimeError(
                f"{len(self.sockets)} of {len(waits)} sockets had a snapshot within {seconds:.0f} s"
            ) from None

    async def _open(self, cookie: str, *, pause_first: bool = False) -> float:
        """A refused browser comes again with back-off and full jitter, as the page does."""
        began, most, is_pause_due = time.perf_counter(), BACKOFF_FIRST, pause_first
        while True:
            if is_pause_due:
                await asyncio.sleep(random.random() * most)
                most = min(BACKOFF_MOST, 2 * most)
            is_pause_due = True
            one = None
            try:
                one = Socket(self, cookie)
                async with asyncio.timeout(OPEN_SECONDS):
                    await one.open(self.port)
            except (OSError, TimeoutError) as error:
                if one is not None:
                    one.close()
                if isinstance(error, OSError) and error.errno == errno.EMFILE:
                    raise RuntimeError("too few files may be open: raise `ulimit -n`") from None
                continue
            self.sockets.append(one)
            return time.perf_counter() - began

    def close(self) -> None:
        for one in self.sockets:
            one.close()
        self.sockets.clear()


def serve(pipe: Connection, frames: Any, parent: int) -> None:
    """Obey (name, arguments) until None comes."""
    tether.die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def run() -> None:
        group = Group(frames)
        loop = asyncio.get_running_loop()
        while (order := await loop.run_in_executor(None, pipe.recv)) is not None:
            name, arguments = order
            try:
                answer: Any = None
                if name == "times":
                    answer, group.times = group.times, []
                elif name == "close":
                    group.close()
                else:
                    answer = await getattr(group, name)(*arguments)
                pipe.send(answer)
            except Exception as error:  # noqa: BLE001 - told to the one who asked
                pipe.send(RuntimeError(f"{name}: {error}"))

    asyncio.run(run())


class Browsers:
    """`connect`, `storm` → seconds until each had its snapshot; `times`; `frames`."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._frames = context.Value("q", 0, lock=False)
        self.pipe, inner = context.Pipe()
        self.process = context.Process(
            target=serve, args=(inner, self._frames, os.getpid()), daemon=True
        )
        self.process.start()
        inner.close()  # so that its death is heard of here

    @property
    def frames(self) -> int:
        return int(self._frames.value)

    def ask(self, name: str, *arguments: Any) -> Any:
        self.tell(name, *arguments)
        return self.answer()

    def tell(self, name: str, *arguments: Any) -> None:
        self.pipe.send((name, arguments))

    def answer(self) -> Any:
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        with contextlib.suppress(OSError, EOFError, RuntimeError):
            self.ask("close")
            self.pipe.send(None)
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
