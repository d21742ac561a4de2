"""Starts a portal's processes, watches them, restarts what dies, and ends them all together."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

from config.processes import Process, spawn

STOP_SECONDS = 8.0
LONGEST_PAUSE = 30.0
SOUND_AFTER = 30.0  # a process that lived this long is started again at once
POLL_SECONDS = 0.1


@dataclass
class Child:
    process: Process
    popen: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    due_at: float = 0.0
    pause: float = field(default=0.0)


class Launcher:
    """`run()` returns when SIGINT or SIGTERM has come; `stop()` ends every child.

    `say(name, line)` writes one line of the log; `env` goes to whatever is started from then on.
    """

    def __init__(self, *, env: dict[str, str], say: Callable[[str, str], None]) -> None:
        self.children: list[Child] = []
        self.env = env
        self.say = say
        self.stop_signals = 0
        self._readers: list[threading.Thread] = []

    def start(self, *processes: Process) -> None:
        for process in processes:
            child = Child(process)
            self.children.append(child)
            self._start(child)

    def run(self) -> None:
        """Watch until a signal asks for the end."""
        while not self.stop_signals:
            for child in self.children:
                self._tend(child)
            time.sleep(POLL_SECONDS)

    def catch_signals(self) -> None:
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, self._note_signal)

    def _note_signal(self, signum: int, frame: FrameType | None) -> None:
        self.stop_signals += 1

    def _tend(self, child: Child) -> None:
        now = time.monotonic()
        if child.popen is None:
            if now >= child.due_at:
                self._start(child)
            return
        code = child.popen.poll()
        if code is None:
            return
        end_group(child.popen.pid, signal.SIGKILL)
        child.popen = None
        lived = now - child.started_at
        child.pause = 0.5 if lived >= SOUND_AFTER else min(LONGEST_PAUSE, (child.pause or 0.25) * 2)
        child.due_at = now + child.pause
        self.say(
            "up", f"{child.process.name} {ending(code)}; starting it again in {child.pause:g} s"
        )

    def _start(self, child: Child) -> None:
        popen = spawn(child.process, output=subprocess.PIPE, env=self.env)
        child.popen, child.started_at = popen, time.monotonic()
        assert popen.stdout is not None
        reader = threading.Thread(
            target=self._read, args=(child.process.name, popen.stdout), daemon=True
        )
        reader.start()
        self._readers = [thread for thread in self._readers if thread.is_alive()] + [reader]

    def _read(self, name: str, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self.say(name, line.decode(errors="replace").rstrip())

    def stop(self) -> None:
        """SIGTERM to all; SIGKILL to what is left in time, or at a second signal."""
        running = [child.popen for child in self.children if child.popen is not None]
        for popen in running:
            popen.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        asked = self.stop_signals
        while any(popen.poll() is None for popen in running):
            if time.monotonic() > deadline or self.stop_signals > asked:
                break
            time.sleep(0.05)
        for popen in running:
            end_group(popen.pid, signal.SIGKILL)
            popen.wait()
        for reader in self._readers:
            reader.join(timeout=1)


def end_group(group: int, sig: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sig)


def ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
