"""A mail server on a thread of its own, for code that is not asynchronous."""

import asyncio
import threading
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from typing import Any, cast

from tests.jobs.test_steps_messages import MailServer


class MailThread(MailServer):
    """`fails_at` as MailServer's; ended by `end()`."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        assert ready.wait(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = listening.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        listening.close()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def received(self) -> list[EmailMessage]:
        ends = b".\r\n"
        return [
            cast(EmailMessage, message_from_bytes(raw.removesuffix(ends), policy=cast(Any, modern)))
            for raw in self.messages
        ]
