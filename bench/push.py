"""From a commit in another process to a frame in a browser's socket.

    uv run python -m bench.push --sockets 1 100 1000
    CHANNEL_LAYER_URL=redis://127.0.0.1:6379/10 uv run python -m bench.push --sockets 1000 --plain

A real web process (Daphne) serves the sockets; this process commits changes of jobs and pushes
them as a worker does, and is the browsers too. `--plain` measures, on the same server, an ordinary
Channels consumer that joins the group itself, one member a socket.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("SPINDLE_LOG_LEVEL", "ERROR")

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts.models import Membership, Team, User  # noqa: E402
from bench.sockets import Browsers  # noqa: E402
from config.boot import BIND  # noqa: E402
from jobs import events  # noqa: E402
from jobs.live import push  # noqa: E402
from jobs.live.facts import load  # noqa: E402
from jobs.models import Job  # noqa: E402
from projects.models import Project  # noqa: E402
from tests.processes.portal import Portal, Template, wait_until  # noqa: E402

SOCKETS_A_USER = 5
SECONDS_A_RATE = 2.0
SECONDS_OF_LATENCIES = 20.0
CONNECT_SECONDS = 90.0
STORM_SECONDS = 75.0  # the page's longest pause is 30 s
FILES_BESIDE = 500  # open files of a process beside its sockets
PLAIN = (
    "import sys; from config import tether; tether.die_with(int(sys.argv[1]));"
    "from daphne.cli import CommandLineInterface; CommandLineInterface().run("
    "['--fd', sys.argv[2], '-v', '0', 'bench.plain_consumer:application'])"
)


class Bench:
    def __init__(self, portal: Portal, users: int, *, is_plain: bool) -> None:
        self.portal, self.is_plain = portal, is_plain
        team = Team.objects.create(name="Bench", slug="bench")
        project = Project.objects.create(team=team, name="Bench", slug="bench")
        self.jobs = [
            Job.objects.create(
                team=team, project=project, kind="spinner", label="Renewal reminder",
                status="running", started_at=timezone.now(), total_count=10_000_000,
            )
            for _ in range(200)
        ]  # fmt: skip
        self.cookies = []
        for number in range(users):
            user = User.objects.create_user(f"u{number}@example.com")
            Membership.objects.create(team=team, user=user, role="viewer")
            client = Client()
            client.force_login(user)
            value = client.cookies[settings.SESSION_COOKIE_NAME].value
            self.cookies.append(f"{settings.SESSION_COOKIE_NAME}={value}")
        self.count = 0
        self.facts = load(Job.objects.filter(project=project))
        self.loop = asyncio.new_event_loop()

    def change(self) -> float:
        """One commit of the next job; when it was committed."""
        job = self.jobs[self.count % len(self.jobs)]
        self.count += 1
        events.emit(job.pk, "job.progressed")
        return time.perf_counter()

    def offer(self) -> None:
        """A message without a commit: how fast the server tells, not how fast a disk writes."""
        facts = self.facts[self.count % len(self.facts)]
        self.count += 1
        facts["v"] += 1
        self.loop.run_until_complete(push.send([facts]))

    def measure(self, sockets: int, latencies: int) -> dict[str, Any]:
        browsers = Browsers()
        try:
            return self._measure(browsers, sockets, latencies)
        finally:
            browsers.end()

    def _measure(self, browsers: Browsers, sockets: int, latencies: int) -> dict[str, Any]:
        before = self._rss_kb()
        cookies = [self.cookies[number // SOCKETS_A_USER] for number in range(sockets)]
        browsers.ask("times")  # the process is up
        began = time.perf_counter()
        browsers.ask("connect", int(self.portal.url.rpartition(":")[2]), cookies, CONNECT_SECONDS)
        connected = time.perf_counter() - began
        time.sleep(1)
        per_socket = (self._rss_kb() - before) / sockets
        began, first, ticks = self._cpu_seconds(), browsers.frames, _machine_ticks()
        delays = self._latencies(browsers, sockets, latencies)
        cpu_ms = 1000 * (self._cpu_seconds() - began)
        say(
            sockets=sockets, **percentiles(delays), connect_all_s=round(connected, 2),
            web_cpu_ms_a_1000_frames=round(1000 * cpu_ms / max(1, browsers.frames - first), 1),
            machine_idle_percent=_idle_percent(ticks, _machine_ticks()),
        )  # fmt: skip
        rate, reached = self._rate(browsers, sockets)
        if not self.is_plain:
            self._storm(browsers, sockets)
        return {
            "sockets": sockets, "messages_a_second": round(rate, 1),
            "frames_a_second": round(rate * sockets), "reached_percent": round(100 * reached, 1),
            "kb_a_socket": round(per_socket, 1) if sockets > 1 else None,
        }  # fmt: skip

    def _storm(self, browsers: Browsers, sockets: int) -> None:
        """The web process is killed and started again: all its pages come back at once."""
        browsers.tell("storm", STORM_SECONDS)
        began = time.perf_counter()
        self.portal.kill("web")
        self.portal.start()
        up = time.perf_counter() - began
        away = sorted(browsers.answer())
        say(
            sockets=sockets, storm_page_again_s=round(up, 2), storm_back=len(away),
            storm_half_back_s=round(away[len(away) // 2], 2) if away else None,
            storm_last_back_s=round(away[-1], 2) if away else None,
        )  # fmt: skip
        if not away:
            raise SystemExit(f"Nobody came back within {STORM_SECONDS:.0f} s of a storm.")
        first = browsers.frames
        self.change()
        wait_until(lambda: browsers.frames >= first + len(away), 30, what="a frame in each socket")

    def _latencies(self, browsers: Browsers, sockets: int, count: int) -> list[float]:
        """One change at a time: the delay of every frame. The first few warm up."""
        delays: list[float] = []
        end = time.perf_counter() + SECONDS_OF_LATENCIES
        for number in range(count + 3):
            if number > 5 and time.perf_counter() > end:
                break
            first = browsers.frames
            at = self.change()
            while browsers.frames < first + sockets and time.perf_counter() < at + 20:
                time.sleep(0.001)
            times = browsers.ask("times")
            if number >= 3:
                delays += [1000 * (t - at) for t in times]
            time.sleep(0.05)
        return delays

    def _rate(self, browsers: Browsers, sockets: int) -> tuple[float, float]:
        """Messages are offered faster and faster, until half a second does not drain them."""
        # Above what the latencies' commits made, else the first would be taken for old.
        self.facts = load(Job.objects.filter(pk__in=[job.pk for job in self.jobs]))
        best, reached, rate = 0.0, 1.0, 5.0
        while rate <= 3_000:
            first, began, sent = browsers.frames, time.perf_counter(), 0
            while time.perf_counter() - began < SECONDS_A_RATE:
                self.offer()
                sent += 1
                time.sleep(max(0.0, began + sent / rate - time.perf_counter()))
            seconds = time.perf_counter() - began
            time.sleep(0.5)
            got = (browsers.frames - first) / sockets
            if got < 0.98 * sent:
                return max(best, got / (seconds + 0.5)), got / sent
            best = sent / seconds
            say(sockets=sockets, messages_a_second_passed=round(best, 1))
            if best < 0.8 * rate:
                break  # this process sends no faster
            rate *= 1.6
            browsers.ask("times")
        return best, reached

    def _cpu_seconds(self) -> float:
        """The web process's, in its own code and in the kernel for it."""
        fields = (
            Path(f"/proc/{self.portal.pids['web']}/stat").read_text().rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _rss_kb(self) -> int:
        status = Path(f"/proc/{self.portal.pids['web']}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


def _machine_ticks() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


def _idle_percent(before: list[int], after: list[int]) -> int:
    """Below a third, others were at work on this machine, and the delays are theirs too."""
    spent = [b - a for a, b in zip(before, after, strict=True)]
    return round(100 * spent[3] / max(1, sum(spent)))


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def percentiles(delays: list[float]) -> dict[str, float]:
    if len(delays) < 2:
        return {"p50_ms": 0, "p95_ms": 0, "p99_ms": 0}
    cuts = statistics.quantiles(delays, n=100)
    return {
        "p50_ms": round(cuts[49], 1), "p95_ms": round(cuts[94], 1), "p99_ms": round(cuts[98], 1),
    }  # fmt: skip


@contextlib.contextmanager
def plain_server(portal: Portal) -> Iterator[None]:
    """The same server with the ordinary consumer, on the portal's own socket."""
    descriptor = portal.listener.fileno()
    server = subprocess.Popen(
        [sys.executable, "-c", PLAIN, str(os.getpid()), str(descriptor)],
        env={**os.environ, **portal.env, "SPINDLE_ROLE": "web", BIND: "127.0.0.1"},
        pass_fds=[descriptor],
        process_group=0,
    )  # fmt: skip
    portal.running["web"] = server
    wait_until(portal._answers, 30)
    yield


def allow_files(needed: int) -> None:
    """Each socket is an open file in the browsers' process and in the web process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if hard != unlimited and hard < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
        except (ValueError, OSError):
            raise SystemExit(
                f"{needed} open files are needed and {hard} are allowed: run `ulimit -n {needed}` "
                "as root first, or measure fewer --sockets."
            ) from None
    elif soft != unlimited and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sockets", type=int, nargs="+", default=[1, 100, 1_000])
    parser.add_argument("--latencies", type=int, default=20)
    parser.add_argument("--plain", action="store_true", help="a group member a socket, to compare")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # its children end with it
    allow_files(max(options.sockets) + FILES_BESIDE)
    template = Template()
    try:
        with (
            Portal(template, workers=0, beat=False, web=not options.plain) as portal,
            portal.attached(),
            plain_server(portal) if options.plain else contextlib.nullcontext(),
        ):
            push.SECONDS_BETWEEN = 0.0  # 200 jobs stand for many; none is held back here
            users = 1 + max(options.sockets) // SOCKETS_A_USER
            bench = Bench(portal, users, is_plain=options.plain)
            for count in options.sockets:
                say(**bench.measure(count, options.latencies))
    finally:
        template.drop()


if __name__ == "__main__":
    main()
