"""`manage.py up`: the whole portal in one terminal."""

import fcntl
import os
import socket
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from config import boot, processes
from config.demo import provider, seeding
from config.launcher import Launcher
from config.profiles import make_folder


class Command(BaseCommand):
    help = "Start the portal: database, demo, web, workers and beat. Ctrl-C ends them all."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=1, metavar="N")
        parser.add_argument("--no-demo", action="store_true", help="make no demo team")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["port"] <= 65535:
            raise CommandError("--port should be a number from 0 to 65535.")
        if not 1 <= options["workers"] <= 64:
            raise CommandError("--workers should be a number from 1 to 64.")
        lock = hold(settings.DATA_DIR)
        with lock, listen(options["host"], options["port"]) as listener:
            boot.check_exposure(options["host"])
            boot.check_database()
            self.serve(listener, options)

    def serve(self, listener: socket.socket, options: dict[str, Any]) -> None:
        url = address(options["host"], listener.getsockname()[1])
        log = Log(width=max(len("provider"), len(f"worker-{options['workers']}")))
        launcher = Launcher(
            env={"SPINDLE_BASE_URL": os.environ.get("SPINDLE_BASE_URL", url)}, say=log.say
        )
        launcher.catch_signals()
        gate, opened = os.pipe()
        try:
            # The web process loads while the database is made ready.
            launcher.start(processes.web(listener, gate=gate))
            call_command("prepare", verbosity=0)
            demo = seeding.Demo() if options["no_demo"] else seeding.ensure(settings.DATA_DIR)
            connections.close_all()
            if demo.provider_port:
                hosts = [*settings.INTERNAL_HOSTS, provider.host(demo.provider_port)]
                launcher.env["SPINDLE_INTERNAL_HOSTS"] = ",".join(hosts)
                launcher.start(processes.provider(demo.provider_port))
            os.close(opened)
            launcher.start(
                *(processes.worker(number) for number in range(1, options["workers"] + 1)),
                processes.beat(),
            )
            threading.Thread(target=announce, args=(log, url, demo.sign_in), daemon=True).start()
            launcher.run()
        finally:
            launcher.stop()
        log.say("up", "stopped; nothing is lost, and `up` carries on where this ended")


class Log:
    """One line at a time from many processes, each with the name of its process before it."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lock = threading.Lock()

    def say(self, name: str, line: str) -> None:
        with self.lock:
            sys.stdout.write(f"{name:<{self.width}} | {line}\n")
            sys.stdout.flush()

    def plain(self, *lines: str) -> None:
        with self.lock:
            sys.stdout.write("\n".join(["", *lines, "", ""]))
            sys.stdout.flush()


def announce(log: Log, url: str, sign_in: str) -> None:
    """Say where the portal is as soon as its first page answers."""
    while True:
        try:
            with urllib.request.urlopen(f"{url}/accounts/login/", timeout=60):  # noqa: S310
                break
        except urllib.error.HTTPError:
            break
        except OSError:
            continue
    lines = [f"  Spindle runs at {url}"]
    if sign_in:
        lines.append(f"  {sign_in}")
    log.plain(*lines)


def address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 (compared only)
    return f"http://{f'[{shown}]' if ':' in shown and shown[0] != '[' else shown}:{port}"


def hold(data_dir: Path) -> IO[str]:
    """The data folder's lock; a second `up` on the same folder is refused."""
    path = make_folder(data_dir) / "up.lock"
    try:
        file = path.open("a+")
    except OSError as error:
        raise ImproperlyConfigured(
            f"SPINDLE_DATA_DIR should be a folder Spindle may write to; {path}: {error.strerror}."
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        other = file.read().strip() or "unknown"
        file.close()
        raise CommandError(
            f"A portal (process {other}) already runs on {data_dir}. Stop it first, or set "
            "SPINDLE_DATA_DIR to another folder."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def listen(host: str, port: int) -> socket.socket:
    try:
        return processes.listen(host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandError(
            f"Cannot listen on {host} port {port}: {reason}. Choose others with --host and --port."
        ) from None
