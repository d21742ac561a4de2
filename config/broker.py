"""The embedded profile's message queue: kombu's filesystem transport, made whole.

kombu writes a message where consumers already look for it, so a consumer may take half a message
and destroy it; and its exchange file is rewritten in place. Here a message is written under
another name and moved into place, a file nobody can read is set aside instead of stopping the
worker, and bindings are not kept in a file at all: every queue is bound by its own name.
docs/decisions.md has the figures.
"""

import itertools
import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

SCHEME = "spool"
FULL_SECONDS = 0.05
LONGEST_SECONDS = 0.5
_counter = itertools.count()


class Channel(filesystem.Channel):
    """One folder a queue; a message is a file, named so that the oldest sorts first."""

    supports_fanout = False
    _listed: dict[str, list[str]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._listed = {}
        super().__init__(*args, **kwargs)

    def _folder(self, queue: str) -> Path:
        folder = Path(self.data_folder_in) / queue
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def get_table(self, exchange: str) -> list[Any]:
        # Without a binding a virtual exchange delivers to the queue of the routing key's name.
        return []

    def _queue_bind(
        self, exchange: str, routing_key: str | None, pattern: str | None, queue: str | None
    ) -> None:
        pass

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        return [routing_key or default or str(self.deadletter_queue)]

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        folder = self._folder(queue)
        name = f"{time.time_ns():020d}-{next(_counter):06d}-{uuid.uuid4().hex}"
        draft = folder / f".{name}"
        draft.write_bytes(dumps(payload).encode())
        draft.rename(folder / f"{name}.msg")

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        """The oldest message; whoever renames the file has it.

        Names are listed once and then worked off, so that a long queue is not read again for
        each message.
        """
        folder = self._folder(queue)
        for is_fresh in (False, True):
            names = self._names(queue, folder, is_fresh=is_fresh)
            while names:
                name = names.pop()
                taken = folder / f".taken-{name}"
                try:
                    (folder / name).rename(taken)
                except OSError:
                    continue  # another worker was first
                text = taken.read_bytes()
                try:
                    message = loads(text.decode())
                    _ = message["body"], message["properties"]["delivery_tag"]
                except (ValueError, KeyError, TypeError):
                    taken.rename(folder / f".bad-{name}")
                    continue
                taken.unlink()
                return message
        raise Empty

    def _names(self, queue: str, folder: Path, *, is_fresh: bool) -> list[str]:
        if is_fresh:
            self._listed[queue] = sorted(_messages(folder), reverse=True)
        return self._listed.get(queue, [])

    def _size(self, queue: str) -> int:
        return len(_messages(self._folder(queue)))

    def _purge(self, queue: str) -> int:
        folder = self._folder(queue)
        names = _messages(folder)
        for name in names:
            (folder / name).unlink(missing_ok=True)
        return len(names)

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self._purge(queue)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return (Path(self.data_folder_in) / queue).is_dir()


class Transport(filesystem.Transport):
    Channel = Channel
    driver_type = SCHEME
    driver_name = SCHEME
    polling_interval = 0.1

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> None:
        """For half a second, where Celery says two: between two calls only it acknowledges and
        hears that it should end. Briefly where no more may be taken.
        """
        is_full = any(not channel.qos.can_consume() for channel in self.channels or ())
        if is_full or timeout:
            longest = FULL_SECONDS if is_full else LONGEST_SECONDS
            timeout = min(timeout or longest, longest)
        super().drain_events(connection, timeout=timeout, **kwargs)


def register() -> None:
    """Make `spool://` an address Celery knows."""
    TRANSPORT_ALIASES[SCHEME] = "config.broker:Transport"


def _messages(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".msg") and name[0] != "."]
