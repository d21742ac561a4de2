"""A real portal for tests: its own data folder and database, real processes, a free port.

While a `Portal` is attached, the test's own ORM, its Celery producer and its channel layer are
the portal's, so a test reads rows and calls verbs as if it stood inside it.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit, urlunsplit

import psycopg
from channels.layers import channel_layers
from django.conf import settings
from django.db import connections
from django.db.utils import ConnectionHandler
from django.test import override_settings
from psycopg import sql

from config import processes, profiles
from config.celery import app as celery_app
from jobs.live import push
from tests.processes import leftovers

STOP_SECONDS = 10
PATIENCE = 120  # a busy machine may be four times slower; conditions end earlier


def wait_until(predicate: Callable[[], Any], seconds: float = 60, *, what: str = "") -> Any:
    """The first true answer of `predicate`; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or predicate.__name__}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Template:
    """A migrated database made once a session and copied for every portal."""

    def __init__(self) -> None:
        leftovers.folders()
        self.folder = Path(mkdtemp(prefix=leftovers.prefix("template")))
        self.server = os.environ.get("DATABASE_URL", "")
        self.name = leftovers.fresh_name("template")
        if self.server:
            leftovers.databases(self._server_url())
            self._admin("CREATE DATABASE {}", self.name)
        try:
            self._migrate()
        except BaseException:
            self.drop()
            raise

    def _migrate(self) -> None:
        env = {**os.environ, **self.env_for(self.folder, self.name)}
        command = [sys.executable, str(processes.MANAGE), "prepare", "-v0"]
        subprocess.run(command, env=env, check=True)

    def env_for(self, folder: Path, name: str) -> dict[str, str]:
        env = {"SPINDLE_DATA_DIR": str(folder)}
        if self.server:
            env["DATABASE_URL"] = urlunsplit(urlsplit(self.server)._replace(path=f"/{name}"))
        return env

    def copy(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.folder.glob("*.sqlite3"):
            shutil.copy(file, folder / file.name)
        if self.server:
            self._admin("CREATE DATABASE {} TEMPLATE {}", name, self.name)

    def remove(self, folder: Path, name: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if self.server:
            self._admin("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def drop(self) -> None:
        self.remove(self.folder, self.name)

    def _admin(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server_url(), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _server_url(self) -> str:
        return urlunsplit(urlsplit(self.server)._replace(path="/postgres"))


class Portal:
    """`with Portal(template) as portal:`, or the fixture `portal`.

    `workers` and `beat` say what runs beside the web process; `env` adds settings, `own_env` those
    of one process by its name.
    """

    def __init__(
        self,
        template: Template,
        *,
        workers: int = 1,
        beat: bool = True,
        web: bool = True,
        env: dict[str, str] | None = None,
        own_env: dict[str, dict[str, str]] | None = None,
    ) -> None:
        self.own_env = own_env or {}
        self.template = template
        self.name = leftovers.fresh_name("portal")
        self.folder = Path(mkdtemp(prefix=leftovers.prefix("portal")))
        template.copy(self.folder, self.name)
        self.listener = processes.listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.env = {
            **template.env_for(self.folder, self.name),
            "SPINDLE_BASE_URL": self.url,
            "SPINDLE_SECRET_KEY": settings.SECRET_KEY,
            "SPINDLE_KEY_PREFIX": f"{self.name}-",
            "SPINDLE_SWEEP_SECONDS": "1",
            **(env or {}),
        }
        self.wanted = [
            *([processes.web(self.listener)] if web else []),
            *(processes.worker(number) for number in range(1, workers + 1)),
            *([processes.beat()] if beat else []),
        ]
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Portal":
        try:
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.destroy()

    # --- processes ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start whatever of the wanted processes is not up, and wait for the first page."""
        for process in self.wanted:
            child = self.running.get(process.name)
            if child is None or child.poll() is not None:
                self._spawn(process)
        if any(process.name == "web" for process in self.wanted):
            wait_until(self._answers, PATIENCE, what=f"the first page; logs:\n{self.logs()}")

    def _spawn(self, process: processes.Process) -> None:
        with (self.folder / f"{process.name}.log").open("ab") as log:
            env = {**self.env, **self.own_env.get(process.name, {})}
            self.running[process.name] = processes.spawn(process, output=log, env=env)

    def _answers(self) -> bool:
        web = self.running["web"]
        assert web.poll() is None, f"web ended with {web.returncode}:\n{self.logs()}"
        try:
            with urllib.request.urlopen(f"{self.url}/accounts/login/", timeout=20) as answer:  # noqa: S310
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name: `web`, `worker-1`, …, `beat`."""
        return {name: child.pid for name, child in self.running.items()}

    def kill(self, name: str, sig: int = signal.SIGKILL) -> None:
        """Send `sig` to one process with all its children and wait for its end."""
        child = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sig)
        child.wait(timeout=PATIENCE)

    def kill_worker(self, number: int = 1) -> None:
        """`kill -9`, as a crash would; `start()` brings it back."""
        self.kill(f"worker-{number}")

    def kill_all(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def stop(self) -> None:
        """End everything as `up` does: SIGTERM, and SIGKILL after ten seconds."""
        for child in self.running.values():
            child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self.running.values():
            try:
                child.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        self.running.clear()

    def destroy(self) -> None:
        self.kill_all()
        self.listener.close()
        self.template.remove(self.folder, self.name)

    def logs(self) -> str:
        parts = (
            f"--- {path.name}\n{path.read_text(errors='replace')[-4000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )
        return "\n".join(parts)

    # --- inside ------------------------------------------------------------------------------

    def manage(self, *arguments: str, check: bool = True) -> str:
        """`manage.py …` against this portal; its output."""
        done = subprocess.run(
            [sys.executable, str(processes.MANAGE), *arguments],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{arguments} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    def shell(self, code: str) -> Any:
        """Run Python inside the portal's settings; what it prints, read as JSON."""
        return json.loads(self.manage("shell", "-v0", "-c", code))

    @contextlib.contextmanager
    def attached(self) -> Iterator["Portal"]:
        """Inside, the test's ORM, Celery producer and channel layer are this portal's."""
        with patch.dict(os.environ, self.env):
            handler = ConnectionHandler(profiles.databases(self.folder))
            broker_url, broker_options = profiles.broker(self.folder)
            layers = {"default": profiles.channel_layer(self.folder)}
            queue = f"{profiles.key_prefix()}spindle"
        # Celery asks the environment for its broker before it asks its own settings.
        broker = {name: self.env[name] for name in ("CELERY_BROKER_URL",) if self.env.get(name)}
        with (
            patch.dict(os.environ, broker),
            _connections(handler),
            _celery(broker_url, broker_options, queue),
            override_settings(CHANNEL_LAYERS=layers, BASE_URL=self.url),
            # The embedded channel layer reads its file's name from here.
            patch.dict(settings.DATABASES, profiles.databases(self.folder)),
        ):
            channel_layers.backends = {}
            push.renew()
            try:
                yield self
            finally:
                push.renew()
                channel_layers.backends = {}


@contextlib.contextmanager
def _connections(handler: ConnectionHandler) -> Iterator[None]:
    saved_settings = connections.settings
    saved = {alias: getattr(connections._connections, alias, None) for alias in saved_settings}
    connections.settings = handler.settings
    for alias in handler.settings:
        connections[alias] = handler[alias]
    try:
        yield
    finally:
        for alias in handler.settings:
            handler[alias].close()
            del connections[alias]
        connections.settings = saved_settings
        for alias, connection in saved.items():
            if connection is not None:
                connections[alias] = connection


@contextlib.contextmanager
def _celery(url: str, options: dict[str, Any], queue: str) -> Iterator[None]:
    # Celery looks for a setting's prefixed name first, wherever it stands.
    values = {
        "CELERY_BROKER_URL": url, "CELERY_BROKER_TRANSPORT_OPTIONS": options,
        "CELERY_TASK_DEFAULT_QUEUE": queue,
    }  # fmt: skip
    saved = {name: celery_app.conf[name] for name in values}

    def use(wanted: dict[str, Any]) -> None:
        celery_app.conf.update(wanted)
        celery_app.close()
        # Queues, routes and the pool of producers, which keeps the broker it was made for.
        celery_app.__dict__.pop("amqp", None)

    use(values)
    try:
        yield
    finally:
        use(saved)
