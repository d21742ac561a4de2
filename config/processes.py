"""The processes a portal is made of, as command lines.

`manage.py up`, the systemd units and the tests' rig all start them through here.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"


@dataclass(frozen=True)
class Process:
    """One process: its name in the log, its arguments to manage.py, what it inherits."""

    name: str
    arguments: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()


def web(listener: socket.socket, *, gate: int | None = None) -> Process:
    """Serves on a socket the launcher holds, so that no visitor is refused during a restart.

    `gate` is the reading end of a pipe: the process loads everything and begins to serve when
    the other end is closed.
    """
    descriptors = (listener.fileno(), *([gate] if gate is not None else []))
    waiting = ("--gate", str(gate)) if gate is not None else ()
    return Process("web", ("web", "--fd", str(descriptors[0]), *waiting), descriptors=descriptors)


def worker(number: int) -> Process:
    return Process(f"worker-{number}", ("worker", "--name", f"worker-{number}"))


def beat() -> Process:
    return Process("beat", ("beat",))


def provider(port: int) -> Process:
    return Process("provider", ("demo_provider", "--port", str(port)))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises OSError if the port is taken or the host is not of here."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def spawn(
    process: Process,
    *,
    output: IO[bytes] | int | None = None,
    env: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start it in a process group of its own, tied to the life of this process."""
    command = [sys.executable, str(MANAGE), *process.arguments, "--tether", str(os.getpid())]
    return subprocess.Popen(  # noqa: S603 (our own commands)
        command,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {}), **process.env},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        pass_fds=process.descriptors,
        process_group=0,
    )
