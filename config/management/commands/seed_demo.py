"""`manage.py seed_demo`: the demo team, if the portal is empty."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config.demo import seeding


class Command(BaseCommand):
    help = "Make the demo in a portal without any team, and say how to sign in. Twice is once."

    def handle(self, *args: Any, **options: Any) -> None:
        demo = seeding.ensure(settings.DATA_DIR)
        self.stdout.write(demo.sign_in or "This portal has teams of its own; no demo was made.")
