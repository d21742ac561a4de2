"""`manage.py up`: the whole portal in one terminal, from start to end."""

import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from config import processes
from tests.processes.portal import free_port, wait_until
from tests.processes.up import SIGN_IN, STARTED, Up

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def get(url: str) -> Any:
    return urllib.request.urlopen(f"{url}/accounts/login/", timeout=120)  # noqa: S310


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
    assert second.popen.wait(180) == 1
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
    wait_until(lambda: not first.children(), what="the children are gone")

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
        assert up.popen.wait(180) == 1
    up.until(line)
    assert up.output.count("\n") == 1


def test_the_demos_provider_waits_for_a_taken_port_and_says_so_once() -> None:
    with processes.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        provider = processes.spawn(processes.provider(port), output=subprocess.PIPE)
        assert provider.stdout is not None
        said = provider.stdout.readline().decode()
        assert said.startswith(f"Cannot listen on 127.0.0.1 port {port}: Address already in use.")
    try:
        assert provider.stdout.readline().decode() == f"Listening on 127.0.0.1 port {port}.\n"
        url = f"http://127.0.0.1:{port}/health"
        with urllib.request.urlopen(url, timeout=60) as health:  # it listens: it will answer
            assert health.status == 200
    finally:
        provider.terminate()
    assert provider.stdout.read() == b""
    assert provider.wait(30) == 0
