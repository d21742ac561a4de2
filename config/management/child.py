"""What the commands `web`, `worker` and `beat` share."""

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

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tether"]:
            tether.die_with(options["tether"])
        boot.check_database()
        self.serve(**options)

    def serve(self, **options: Any) -> None:
        raise NotImplementedError
