"""Encrypt every stored secret anew with the first of SPINDLE_SECRETS_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from projects.secrets import rotate


class Command(BaseCommand):
    help = "Encrypt every secret with the first of SPINDLE_SECRETS_KEYS; then the others can go."

    def handle(self, *args: Any, **options: Any) -> None:
        count, unreadable = rotate()
        self.stdout.write(f"{count} secrets are encrypted with the first key.")
        if unreadable:
            raise CommandError(
                f"{len(unreadable)} fit none of the keys and stay as they are: "
                f"{', '.join(unreadable)}. Keep their old key in the list, or set them again."
            )
