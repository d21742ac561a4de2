"""`manage.py demo_provider`: the message provider the demo's spinners call."""

from typing import Any

from aiohttp import web
from django.core.management.base import BaseCommand, CommandParser

from config import tether
from config.demo import provider


class Command(BaseCommand):
    help = "Serve the demo's message provider on this machine (aiohttp)."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tether", type=int, metavar="PID")
        parser.add_argument("--port", type=int, default=8090)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tether"]:
            tether.die_with(options["tether"])
        web.run_app(
            provider.application(),
            host="127.0.0.1",
            port=options["port"],
            print=None,
            access_log=None,
        )
