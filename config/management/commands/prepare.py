"""`manage.py prepare`: bring every database up to date."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from config.routers import LAYER_APP


class Command(BaseCommand):
    help = "Migrate the portal's database and, where there is one, the embedded channel layer's."

    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        quiet = {"verbosity": options["verbosity"], "skip_checks": True}
        call_command("migrate", **quiet)
        if "channels" in settings.DATABASES:
            # That app alone: going through all migrations again costs seconds.
            call_command("migrate", LAYER_APP, database="channels", **quiet)
