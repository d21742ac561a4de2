"""`manage.py web`: the web process alone."""

import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.urls import get_resolver

from config import boot
from config.management.child import ChildCommand
from config.serving import Serving, settle_in

# What a page waits for its socket (config/static/js/socket.js): to give up earlier, when a thousand
# pages come back at once, only makes the queue longer.
OPEN_SECONDS = 30


class Command(ChildCommand):
    help = "Serve pages, sockets and the API (Daphne)."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--fd", type=int, help="serve on this inherited, listening socket")

    def load(self) -> None:
        get_resolver().url_patterns  # noqa: B018 -- imports every view

    def serve(self, **options: Any) -> None:
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)  # else WhiteNoise warns
        if options["fd"] is not None:
            where = ["--fd", str(options["fd"])]
            os.environ[boot.BIND] = _address_of(options["fd"])
        else:
            os.environ[boot.BIND] = options["host"]
            where = ["--bind", options["host"], "--port", str(options["port"])]
        if settings.ALLAUTH_TRUSTED_PROXY_COUNT:
            where.append("--proxy-headers")
        settle_in()
        Serving().run(
            [
                *where,
                "--verbosity", "0",
                "--no-server-name",
                "--websocket-max-message-size", "65536",
                "--websocket-max-frame-size", "65536",
                "--application-close-timeout", "5",
                "--websocket_connect_timeout", str(OPEN_SECONDS),
                "config.asgi:application",
            ]
        )  # fmt: skip
        # The embedded layer's connections have threads that wait for ever, and Python for them:
        # once a page had been watched, the process had to be killed.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _address_of(descriptor: int) -> str:
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        return str(listener.getsockname()[0])
