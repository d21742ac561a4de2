"""`manage.py worker`: one worker process."""

import os
import socket
import warnings
from typing import Any

from celery.exceptions import SecurityWarning
from django.core.management.base import CommandParser

from config.celery import app
from config.management.child import ChildCommand


class Command(ChildCommand):
    help = "Work off runs and workflows (Celery, one batch at a time)."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--name", default="", help="shown in the log and among the workers")

    def serve(self, **options: Any) -> None:
        # It speaks of pickled messages; only JSON is taken here (CELERY_ACCEPT_CONTENT).
        warnings.filterwarnings("ignore", category=SecurityWarning)
        name = options["name"] or f"worker-{os.getpid()}"
        app.worker_main(
            [
                "--quiet",
                "worker",
                "--hostname", f"{name}@{socket.gethostname()}",
                "--concurrency", "1",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
                "--loglevel", "INFO",
            ]
        )  # fmt: skip
