"""Daphne, ended politely: what was asked before the end is answered."""

import asyncio
import gc
import time
from typing import Any

from daphne.http_protocol import WebRequest
from twisted.internet import defer

from config.frames import FrameInterface, FrameServer

ANSWER_SECONDS = 3.0  # within the eight that `up` gives a process
LOOK_SECONDS = 0.05


def settle_in() -> None:
    """What is loaded stays for good: the collector neither looks at it again nor comes with every
    700 objects, which was a tenth of a page's time (docs/decisions.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


class PoliteServer(FrameServer):
    """Told to end, it takes no more connections (the launcher's socket holds them for the next
    process) and gives the answers under way some seconds; Daphne alone cancels them.
    """

    def kill_all_applications(self) -> "defer.Deferred[Any]":
        for listener in self.listeners:
            listener.addCallback(lambda port: port.stopListening() and port)
        until = time.monotonic() + ANSWER_SECONDS
        answered: defer.Deferred[Any] = defer.Deferred()

        def look() -> None:
            if self._answers_under_way() and time.monotonic() < until:
                asyncio.get_event_loop().call_later(LOOK_SECONDS, look)
            else:
                answered.callback(None)

        look()
        return answered.addCallback(lambda _: super(PoliteServer, self).kill_all_applications())

    def _answers_under_way(self) -> bool:
        return any(
            isinstance(protocol, WebRequest) and "disconnected" not in details
            for protocol, details in self.connections.items()
        )


class Serving(FrameInterface):
    server_class = PoliteServer
