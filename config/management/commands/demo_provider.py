"""`manage.py demo_provider`: the message provider the demo's spinners call."""

import socket
import time
from typing import Any

from aiohttp import web
from django.core.management.base import BaseCommand, CommandParser

from config import processes, tether
from config.demo import provider

HOST = "127.0.0.1"
TRY_AGAIN_SECONDS = 1.0


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
            sock=self.listener(options["port"]),
            print=None,
            access_log=None,
        )

    def listener(self, port: int) -> socket.socket:
        """Published spinners hold the address, so no other port would do: wait for this one."""
        has_said_so = False
        while True:
            try:
                listener = processes.listen(HOST, port)
            except OSError as error:
                if not has_said_so:
                    self.stdout.write(
                        f"Cannot listen on {HOST} port {port}: {error.strerror}. The demo's runs "
                        "cannot reach their provider until the port is free."
                    )
                    has_said_so = True
                time.sleep(TRY_AGAIN_SECONDS)
            else:
                if has_said_so:
                    self.stdout.write(f"Listening on {HOST} port {port}.")
                return listener
