"""Frames past the server's own way: whole, in order with its own, and refused when a socket is full.

A real server, because the writer hangs on how Daphne, autobahn and Twisted are made.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import termios
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock

from config import frames, processes
from config.frames import DirectWriter
from tests.config.frame_application import FLOOD, FLOOD_SIZE, SIZES
from tests.processes.portal import wait_until

SERVE = (
    "import sys; from config.frames import FrameInterface; FrameInterface().run("
    "['--fd', sys.argv[1], '-v', '0', 'tests.config.frame_application:application'])"
)
GREETING = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING = bytes([0x81, 0x81, 0, 0, 0, 0]) + b"p"  # a masked text frame, the mask is 0


@pytest.fixture
def address() -> Iterator[Any]:
    listener = processes.listen("127.0.0.1", 0)
    descriptor = listener.fileno()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(descriptor)],
        cwd=processes.MANAGE.parent,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        pass_fds=[descriptor],
    )
    try:
        yield listener.getsockname()
    finally:
        server.kill()
        server.wait()
        listener.close()


class Client:
    """Reads text frames, and only when it is told to."""

    def __init__(self, address: Any) -> None:
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.sendall(GREETING.encode())
        self.stream = self.socket.makefile("rb")
        assert self.stream.readline().startswith(b"HTTP/1.1 101")
        while self.stream.readline() != b"\r\n":
            pass

    def read(self) -> str:
        kind, size = self.stream.read(2)
        assert kind == 0x81, "whole, and text"
        if size == 126:
            (size,) = struct.unpack("!H", self.stream.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.stream.read(8))
        return self.stream.read(size).decode()

    def sleep_until_full(self) -> None:
        seen = [-1]

        def is_full() -> bool:
            (unread,) = struct.unpack("i", fcntl.ioctl(self.socket, termios.FIONREAD, b"1234"))
            seen.append(unread)
            return 0 < seen[-2] == seen[-1]

        wait_until(is_full)


def test_frames_are_whole_and_in_order_and_a_full_socket_refuses_them(address):
    client = Client(address)
    for size in SIZES:
        assert client.read() == "d" * size
        assert client.read() == "s" * size
    client.socket.sendall(PING)
    client.sleep_until_full()
    for number in range(FLOOD):
        assert client.read() == f"{number:06}" + "x" * FLOOD_SIZE
    words = client.read().split()
    assert int(words[1].rstrip(",")) > 0
    assert words[3] == "False"
    client.socket.close()


@pytest.mark.parametrize("protocol", [None, object()])
def test_where_it_is_not_the_known_server_there_is_no_writer(protocol):
    assert DirectWriter.of(protocol) is None


def test_timeouts_are_looked_at_a_part_at_a_time(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(frames, "reactor", clock)
    checked: list[float] = []

    class Protocol:
        def check_timeouts(self) -> None:
            checked.append(clock.seconds())

    server = frames.FrameServer(application=None, endpoints=["tcp:0"])
    server.connections = {Protocol(): {} for _ in range(1_000)}
    server.timeout_checker()
    gone = list(server.connections)[-1]
    clock.advance(0)
    del server.connections[gone]
    clock.pump([0.05] * 39)
    assert len(checked) == 999
    assert max(Counter(checked).values()) <= 51
    clock.advance(0.1)
    assert len(checked) > 999, "and again"
