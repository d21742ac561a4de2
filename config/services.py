"""A PostgreSQL and a Redis of one's own for the tests: own folders, free ports, ended afterwards.

Nothing that already runs on the machine is touched. Durability is switched off: what the tests
ask of it is the real servers' behaviour, not survival of a power cut.
"""

import contextlib
import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 30
POSTGRES_USER = "spindle"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLAYWRIGHT_PATH = """
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    print(playwright.chromium.executable_path)
"""


class Missing(Exception):
    """Something has to be installed; the message says what and how."""


@contextlib.contextmanager
def production_services() -> Iterator[dict[str, str]]:
    """The environment that points Spindle at both, while they run."""
    initdb, postgres = _postgres_program("initdb"), _postgres_program("postgres")
    redis = program("redis-server", package="redis-server")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spindle-services-")))
        folder.chmod(0o711)
        database_port, redis_port = free_port(), free_port()
        stack.enter_context(_postgres(folder / "postgres", initdb, postgres, database_port))
        stack.enter_context(_redis(folder / "redis", redis, redis_port))
        yield {
            "DATABASE_URL": f"postgresql://{POSTGRES_USER}@127.0.0.1:{database_port}/postgres",
            "CELERY_BROKER_URL": f"redis://127.0.0.1:{redis_port}/0",
            "CHANNEL_LAYER_URL": f"redis://127.0.0.1:{redis_port}/1",
        }


@contextlib.contextmanager
def _postgres(folder: Path, initdb: str, postgres: str, port: int) -> Iterator[None]:
    folder.mkdir(mode=0o700)
    owner = _unprivileged(folder)
    common: dict[str, Any] = {"user": owner, "group": pwd.getpwnam(owner).pw_gid} if owner else {}
    _run_quietly(
        [initdb, "-D", str(folder), "-U", POSTGRES_USER, "-A", "trust", "-E", "UTF8",
         "--locale", "C.UTF-8", "--no-sync"],
        **common,
    )  # fmt: skip
    options = {
        "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "",
        "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
        "max_connections": "200", "shared_buffers": "128MB",
    }  # fmt: skip
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            [postgres, "-D", str(folder), *settings], stdout=log, stderr=log, cwd=folder, **common
        )
    with _running(server, port, folder / "log"):
        yield


@contextlib.contextmanager
def _redis(folder: Path, redis: str, port: int) -> Iterator[None]:
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603
            [redis, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", str(folder)],
            stdout=log, stderr=log,
        )  # fmt: skip
    with _running(server, port, folder / "log"):
        yield


@contextlib.contextmanager
def _running(server: "subprocess.Popen[bytes]", port: int, log: Path) -> Iterator[None]:
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"{server.args!r} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        server.send_signal(2)  # SIGINT: PostgreSQL's fast shutdown, Redis' plain one
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _unprivileged(folder: Path) -> str | None:
    """PostgreSQL refuses root: the folder goes to another user, whose name is returned."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            return name
    raise Missing("PostgreSQL does not run as root, and there is neither a postgres nor a nobody.")


def _postgres_program(name: str) -> str:
    found = _newest_postgres(name) or shutil.which(name)
    if found:
        return found
    install("postgresql")
    found = _newest_postgres(name) or shutil.which(name)
    if not found:
        raise Missing(f"{name} is missing: install PostgreSQL 13 or later.")
    return found


def _newest_postgres(name: str) -> str | None:
    programs = glob.glob(f"/usr/lib/postgresql/*/bin/{name}")
    return max(programs, key=lambda path: float(path.split("/")[4]), default=None)


def program(name: str, *, package: str) -> str:
    """The path of `name`, installed by apt-get if it is missing."""
    found = shutil.which(name)
    if found is None:
        install(package)
        found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is missing: install the package {package}.")
    return found


def chromium() -> str:
    """A Chromium that runs: the machine's, apt-get's, or else the one Playwright brings."""
    _make_playwright_run()
    found = _working_chromium()
    if found:
        return found
    try:
        install("chromium")  # Ubuntu has it only as a snap
    except Missing as missing:
        return _playwright_chromium(str(missing))
    return _working_chromium() or _playwright_chromium("apt-get's Chromium does not run.")


def _make_playwright_run() -> None:
    """The Node it brings needs a library that the smallest Debian does without."""
    command = [sys.executable, "-m", "playwright", "--version"]
    try:
        _run_quietly(command)
    except Missing:
        install("libatomic1")
        _run_quietly(command)


def _working_chromium() -> str | None:
    """The first that runs: Ubuntu's chromium-browser may be a note that asks for the snap."""
    for name in (os.environ.get("SPINDLE_CHROMIUM", ""), *CHROMIUMS):
        path = shutil.which(name)
        if path:
            with contextlib.suppress(Missing):
                _run_quietly([path, "--version"])
                return path
    return None


def _playwright_chromium(reason: str) -> str:
    """Playwright's own; with what it needs from the system, if we may install that."""
    libraries = ["--with-deps"] if os.geteuid() == 0 else []
    try:
        _run_quietly([sys.executable, "-m", "playwright", "install", *libraries, "chromium"])
        path = _run_quietly([sys.executable, "-c", PLAYWRIGHT_PATH]).strip()
        _run_quietly([path, "--version"])
    except Missing as missing:
        raise Missing(f"{reason} Playwright's own is of no use either: {missing}") from None
    return path


def install(*packages: str) -> None:
    """By apt-get, as root or through sudo without a password; Missing if neither can be."""
    apt = shutil.which("apt-get")
    rights = [] if os.geteuid() == 0 else ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
    wanted = f"Please install {' '.join(packages)}"
    if apt is None:
        raise Missing(f"{wanted}; there is no apt-get to do it here.")
    if rights and shutil.which("sudo") is None:
        raise Missing(f"{wanted}; apt-get needs root, and there is no sudo.")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run_quietly([*rights, apt, "update", "-qq"], env=env)
    command = [*rights, apt, "install", "-y", "-qq", "--no-install-recommends", *packages]
    _run_quietly(command, env=env)


def _run_quietly(command: list[str], **options: Any) -> str:
    """What it printed; Missing if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # noqa: S603
    if done.returncode:
        raise Missing(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
