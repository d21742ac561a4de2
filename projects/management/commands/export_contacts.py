"""manage.py export_contacts <project> [file]: the Contacts page's export."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from projects.contacts import exporting
from projects.contacts.filtersets import filtered
from projects.models import Project


class Command(BaseCommand):
    help = "Write a project's contacts as CSV; importing the file again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("file", nargs="?", type=Path, help="else it is printed")
        parser.add_argument(
            "--filter",
            default="",
            help='as in the address of the list, e.g. "q=park&has_email=yes"',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project “{options['project']}”.")
        pieces = exporting.lines(filtered(project, options["filter"]))
        if options["file"] is None:
            for piece in pieces:
                self.stdout.write(piece, ending="")
            return
        try:
            with options["file"].open("w", encoding="utf-8", newline="") as file:
                file.writelines(pieces)
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}.") from None
