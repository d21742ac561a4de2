"""`manage.py up`: the whole portal in one terminal, from start to end."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config import processes
from tests.processes.portal import Template, free_port, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]
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

    def until(self, text: str | re.Pattern[str], seconds: float = 90) -> re.Match[str]:
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
        return self.popen.wait(timeout=30)


@pytest.fixture
def start_up(portal_template: Template, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """`start_up("--workers", "2")` on this test's own folder and database."""
    name = f"spindle_up_{free_port()}"
    portal_template.copy(tmp_path, name)
    env = {**portal_template.env_for(tmp_path, name), "SPINDLE_KEY_PREFIX": f"{name}-"}
    started: list[Up] = []

    def start(*options: str, **more: str) -> Up:
        started.append(Up({**env, **more}, *options))
        return started[-1]

    yield start
    for up in started:
        if up.popen.poll() is None:
            up.end(signal.SIGKILL)
    portal_template.remove(tmp_path, name)


def get(url: str) -> Any:
    return urllib.request.urlopen(f"{url}/accounts/login/", timeout=20)  # noqa: S310


def test_up_starts_restarts_what_dies_refuses_a_second_and_ends_in_time(
    start_up: Callable[..., Up],
) -> None:
    port = free_port()
    up = start_up("--port", str(port))
    url = up.until(STARTED)[1]
    assert url == f"http://127.0.0.1:{port}"
    sign_in = up.until(SIGN_IN)
    assert sign_in[1] == "ada@northwind.example"
    with get(url) as answer:
        assert answer.status == 200
    assert set(wait_until(lambda: len(c := up.children()) == 4 and c)) == {
        "web", "worker-1", "beat", "demo_provider",
    }  # fmt: skip

    second = start_up("--port", str(free_port()))
    assert second.popen.wait(60) == 1
    second.until(rf"A portal \(process {up.popen.pid}\) already runs on .*SPINDLE_DATA_DIR")
    assert "Traceback" not in second.output

    before = up.children()
    os.killpg(before["web"], signal.SIGKILL)
    with get(url) as answer:  # held by the launcher's socket until the next web process is up
        assert answer.status == 200
    up.until(r"web was ended by SIGKILL; starting it again in")

    assert up.end(signal.SIGINT) == 0
    assert up.children() == {}
    assert "stopped; nothing is lost" in up.output


def test_children_die_with_a_killed_launcher_and_the_next_up_carries_on(
    start_up: Callable[..., Up],
) -> None:
    port = str(free_port())
    first = start_up("--port", port, "--no-demo")
    first.until(STARTED)
    assert "Sign in as" not in first.output
    wait_until(lambda: len(first.children()) == 3)
    first.end(signal.SIGKILL)
    wait_until(lambda: not first.children(), 10, what="the children are gone")

    again = start_up("--port", port, SPINDLE_DEMO_PASSWORD="a-known-pass")
    assert again.until(SIGN_IN)[2] == "a-known-pass"


@pytest.mark.parametrize(
    ("options", "env", "line"),
    [
        (("--port", "{taken}"), {}, r"Cannot listen on 127\.0\.0\.1 port \d+: Address already"),
        (("--host", "0.0.0.0"), {}, r"Spindle cannot start\. SPINDLE_ALLOWED_HOSTS should name"),
    ],
)
def test_what_cannot_start_says_so_in_one_line(
    start_up: Callable[..., Up], options: tuple[str, ...], env: dict[str, str], line: str
) -> None:
    with processes.listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        up = start_up(*(option.format(taken=port) for option in options), **env)
        assert up.popen.wait(60) == 1
    up.until(line, 5)
    assert up.output.count("\n") == 1
