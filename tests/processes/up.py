"""One `manage.py up` and its output, for tests of the whole portal."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from config import processes
from tests.processes.portal import wait_until

STARTED = re.compile(r"Spindle runs at (\S+)")
SIGN_IN = re.compile(r"Sign in as (\S+) with password (\S+)")


class Up:
    """One `up` with its output as it grows."""

    def __init__(self, env: dict[str, str], *options: str) -> None:
        self.output = ""
        self.popen = subprocess.Popen(
            [sys.executable, str(processes.MANAGE), "up", *options],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.output += line

    def until(self, text: str | re.Pattern[str], seconds: float = 180) -> re.Match[str]:
        return wait_until(
            lambda: re.search(text, self.output), seconds, what=f"{text}\n{self.output[-6000:]}"
        )

    def children(self) -> dict[str, int]:
        """Process ids by the name `up` gives them, while they live."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_text().split("\0")
                if "--tether" in words and words[words.index("--tether") + 1] == str(
                    self.popen.pid
                ):
                    name = words[words.index("--name") + 1] if "--name" in words else words[2]
                    found[name] = int(folder.name)
        return found

    def end(self, sig: int = signal.SIGTERM) -> int:
        self.popen.send_signal(sig)
        return self.popen.wait(timeout=90)
