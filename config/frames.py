"""Daphne, which also lets an application write a finished frame straight into a socket.

One message for a thousand sockets is the same bytes for each, yet an ASGI `send` builds the frame
anew and lets the reactor register, select and unregister the socket: several times the cost of the
system call itself. Here the frame is built once, and written at once where nothing is waiting.

An application finds `DirectWriter` in its scope's `extensions`; under another server, over TLS, or
where Twisted and autobahn are not what we know, it is missing and an ordinary `send` does it.
"""

import gc
import struct
from typing import Any

from daphne.cli import CommandLineInterface
from daphne.server import Server
from twisted.internet import reactor, tcp

EXTENSION = "spindle.frames"
CHECK_SECONDS, CHECK_PARTS = 2.0, 20


def text_frame(text: str) -> bytes:
    """An unmasked, whole text message as a server sends it (RFC 6455, 5.2)."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload


class DirectWriter:
    __slots__ = ("_protocol", "_transport")

    def __init__(self, protocol: Any, transport: Any) -> None:
        self._protocol = protocol
        self._transport = transport

    @classmethod
    def of(cls, protocol: Any) -> "DirectWriter | None":
        transport = getattr(protocol, "transport", None)
        is_known = (
            type(transport) is tcp.Server
            and hasattr(transport, "dataBuffer")
            and hasattr(transport, "_tempDataBuffer")
            and hasattr(protocol, "send_queue")
            and hasattr(protocol, "STATE_OPEN")
        )
        return cls(protocol, transport) if is_known else None

    @property
    def is_idle(self) -> bool:
        """Whether all that was sent so far is with the kernel."""
        transport = self._transport
        return not (transport.dataBuffer or transport._tempDataBuffer or self._protocol.send_queue)

    def write(self, frame: bytes) -> bool:
        """Write the frame now. False: nothing was written, and `send` is to be used."""
        transport = self._transport
        if (
            self._protocol.state != self._protocol.STATE_OPEN
            or not transport.connected
            or transport.disconnecting
            or not self.is_idle
        ):
            return False
        sent = transport.writeSomeData(frame)
        if not isinstance(sent, int) or sent <= 0:
            return False  # full, or broken: Twisted finds out by itself
        if sent < len(frame):
            transport.write(frame[sent:])
        return True


class FrameServer(Server):  # type: ignore[misc]
    def run(self) -> None:
        gc.collect()
        gc.freeze()  # what stays for good is not looked through while sockets wait
        super().run()

    def timeout_checker(self) -> None:
        """Daphne's, a part at a time: pages that came together would be pinged together, and all
        others would wait for a thousand pings and their answers.
        """
        clock: Any = reactor
        protocols = list(self.connections)
        size = len(protocols) // CHECK_PARTS + 1
        for part, start in enumerate(range(0, len(protocols), size)):
            later = part * CHECK_SECONDS / CHECK_PARTS
            clock.callLater(later, self._check_some, protocols[start : start + size])
        clock.callLater(CHECK_SECONDS, self.timeout_checker)

    def _check_some(self, protocols: list[Any]) -> None:
        for protocol in protocols:
            if protocol in self.connections:
                protocol.check_timeouts()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if scope["type"] == "websocket" and (writer := DirectWriter.of(protocol)):
            scope["extensions"] = {**scope.get("extensions", {}), EXTENSION: writer}
        return super().create_application(protocol, scope)


class FrameInterface(CommandLineInterface):  # type: ignore[misc]
    server_class = FrameServer
