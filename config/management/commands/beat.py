"""`manage.py beat`: the clock that pokes the sweep."""

from typing import Any

from config.celery import app
from config.management.child import ChildCommand


class Command(ChildCommand):
    help = "Poke the sweep every few seconds (Celery beat). Run one of it; two do no harm."

    def serve(self, **options: Any) -> None:
        # The plain scheduler keeps no file: nothing here needs to know of an earlier life.
        app.start(
            [
                "--quiet", "beat", "--scheduler", "celery.beat:Scheduler", "--pidfile", "",
                "--loglevel", "INFO",
            ]
        )  # fmt: skip
