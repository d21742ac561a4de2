"""`manage.py gate`: everything a change must pass, the same by hand and in CI."""

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import services

PYTHON = sys.executable
PARALLEL = "not processes and not browser"
SLOW = "processes or browser"
PROFILE_VARIABLES = ("DATABASE_URL", "CELERY_BROKER_URL", "CHANNEL_LAYER_URL")


class Command(BaseCommand):
    help = "Format, lint, types, checks, migrations and all tests, as in CI."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--production",
            action="store_true",
            help="only the tests, on a PostgreSQL and a Redis started for them",
        )
        parser.add_argument("--checks-only", action="store_true", help="leave out the tests")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["production"]:
                self.say("PostgreSQL and Redis for this run")
                with services.production_services() as addresses:
                    self.run_tests(addresses, profile="PostgreSQL and Redis")
                return
            self.check_code()
            if not options["checks_only"]:
                self.run_tests({}, profile="embedded")
        except services.Missing as error:
            raise CommandError(str(error)) from None

    def check_code(self) -> None:
        manage = [PYTHON, "manage.py"]
        self.run("format", [PYTHON, "-m", "ruff", "format", "--check", "."])
        self.run("lint", [PYTHON, "-m", "ruff", "check", "."])
        self.run("types", [PYTHON, "-m", "mypy"])
        self.run("system checks", [*manage, "check", "--fail-level", "WARNING"])
        with deployed_environment() as deployed:
            command = [*manage, "check", "--deploy", "--fail-level", "WARNING"]
            self.run("deployment checks", command, env=deployed)
        self.run("migrations", [*manage, "makemigrations", "--check", "--dry-run"])

    def run_tests(self, addresses: Mapping[str, str], *, profile: str) -> None:
        chromium = services.chromium()
        env = {name: value for name, value in os.environ.items() if name not in PROFILE_VARIABLES}
        env |= {"SPINDLE_CHROMIUM": chromium, "SPINDLE_NO_SKIPS": "1", **addresses}
        pytest = [PYTHON, "-m", "pytest", "-q"]
        closing = [
            self.run(f"tests, {profile}", [*pytest, "-n", "2", "-m", PARALLEL], env=env),
            # By the file: what shares a portal stays together. Much of it is waiting.
            self.run(
                f"processes and browser, {profile}",
                [*pytest, "-n", "2", "--dist", "loadfile", "-m", SLOW],
                env=env,
            ),
        ]
        for line in closing:
            self.stdout.write(line)

    def run(self, name: str, command: list[str], env: Mapping[str, str] | None = None) -> str:
        """Run it with its output shown; its last line. The first failure ends the gate."""
        self.say(name)
        began = time.monotonic()
        # The tests start some hundred processes; each would compile every module anew.
        env = {**(os.environ if env is None else env)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        with subprocess.Popen(  # noqa: S603 (our own commands)
            command,
            cwd=settings.BASE_DIR,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            last = ""
            for line in process.stdout:
                self.stdout.write(line, ending="")
                self.stdout.flush()  # in a CI's log, before the error that may follow
                last = line.strip() or last
        seconds = time.monotonic() - began
        if process.returncode:
            raise CommandError(f"The gate is shut: {name} failed after {seconds:.0f} s.")
        self.stdout.write(f"({seconds:.1f} s)")
        self.stdout.flush()
        return f"{name}: {last}"

    def say(self, name: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(f"== {name}"))
        self.stdout.flush()


@contextlib.contextmanager
def deployed_environment() -> Iterator[dict[str, str]]:
    """The settings of a portal behind HTTPS, for `check --deploy`."""
    with tempfile.TemporaryDirectory(prefix="spindle-check-") as folder:
        yield {
            **os.environ,
            "SPINDLE_DATA_DIR": folder,
            "SPINDLE_DEBUG": "0",
            "SPINDLE_BASE_URL": "https://spindle.example.com",
            "SPINDLE_ALLOWED_HOSTS": "spindle.example.com",
            "SPINDLE_SECRET_KEY": secrets.token_urlsafe(50),
            "SPINDLE_HTTPS_REDIRECT": "1",
            "SPINDLE_HSTS_SUBDOMAINS": "1",
        }
