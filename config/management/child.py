"""What the commands `web`, `worker` and `beat` share."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import boot, tether


class ChildCommand(BaseCommand):
    """A long-running process, which may be tied to the launcher that started it."""

    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--tether", type=int, metavar="PID", help="end when this process has ended"
        )
        parser.add_argument(
            "--gate", type=int, metavar="FD", help="begin when this inherited pipe is closed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tether"]:
            tether.die_with(options["tether"])
        if options["gate"] is not None:
            self.load()
            os.read(options["gate"], 1)
        boot.check_database()
        self.serve(**options)

    def load(self) -> None:
        """What can be done before the gate opens."""

    def serve(self, **options: Any) -> None:
        raise NotImplementedError
