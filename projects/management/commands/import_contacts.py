"""manage.py import_contacts <project> <file>: the page's import, in the foreground."""

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.permissions import Actor
from projects.contacts import csv_reading, importing, receiving
from projects.contacts.models import ImportStatus
from projects.contacts.receiving import ImportRefusedError
from projects.models import ContactImport, ContactImportProblem, Project

DELIMITER_WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "\\t": "\t"}
SHOWN_PROBLEMS = 20
BAR_WIDTH = 28


class Command(BaseCommand):
    help = (
        "Import a CSV file of contacts. All or nothing, unless --skip-bad is given. "
        "Importing a file twice changes nothing the second time. Exit code 1 on errors."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("file", type=Path)
        parser.add_argument("--skip-bad", action="store_true", help="import the good rows anyway")
        parser.add_argument(
            "--mapping",
            default="",
            help='columns that are not guessed, e.g. "Kundnr=external_id,Notes=ignore,Plan=attribute"',
        )
        parser.add_argument(
            "--delimiter", help="comma, semicolon, tab or pipe; detected if not given"
        )
        parser.add_argument(
            "--encoding", help=f"{', '.join(csv_reading.ENCODINGS)}; detected if not given"
        )
        parser.add_argument("--tag", default="", help="a tag for every contact of the file")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project “{options['project']}”.")
        contact_import = self._receive(project, options)
        self.bar = Bar(self.stderr, is_live=sys.stderr.isatty())
        done = None
        while done is None or done.is_active:
            # The worker may have taken it up; then watch it.
            done = importing.work(contact_import.pk, turn_seconds=None, progress=self.bar.show)
            if done is None:
                time.sleep(0.5)
                done = ContactImport.objects.get(pk=contact_import.pk)
                self.bar.show(done)
        self.bar.close()
        self._report(done)

    def _receive(self, project: Project, options: dict[str, Any]) -> ContactImport:
        delimiter = options["delimiter"]
        delimiter = DELIMITER_WORDS.get(delimiter, delimiter)
        if delimiter and delimiter not in csv_reading.DELIMITERS:
            raise CommandError("--delimiter should be comma, semicolon, tab or pipe.")
        try:
            with options["file"].open("rb") as file:
                contact_import = receiving.receive(
                    project, Actor(name="Command line"), file=file, file_name=options["file"].name,
                    encoding=options["encoding"], delimiter=delimiter,
                    mapping_text=options["mapping"], skip_bad=options["skip_bad"],
                    tag_name=options["tag"].strip(),
                )  # fmt: skip
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}.") from None
        except ImportRefusedError as error:
            raise CommandError(str(error)) from None
        # No message: this process does the work itself; should it die, the sweep hands it on.
        ContactImport.objects.filter(pk=contact_import.pk).update(status=ImportStatus.QUEUED)
        return contact_import

    def _report(self, done: ContactImport) -> None:
        self._list_problems(done)
        if done.status == ImportStatus.FAILED:
            raise CommandError(done.error)
        self.stdout.write(
            f"{done.row_count:,} rows: {done.created_count:,} created, "
            f"{done.updated_count:,} updated, {done.unchanged_count:,} unchanged, "
            f"{done.duplicate_count:,} duplicates in the file, {done.bad_count:,} bad."
        )

    def _list_problems(self, done: ContactImport) -> None:
        total = done.bad_count
        problems = done.problems.filter(kind=ContactImportProblem.Kind.BAD)[:SHOWN_PROBLEMS]
        for problem in problems:
            column = f", {problem.column}" if problem.column else ""
            value = f" ({problem.value})" if problem.value else ""
            self.stderr.write(f"line {problem.line}{column}: {problem.reason}{value}")
        if total > SHOWN_PROBLEMS:
            self.stderr.write(f"… and more: {total:,} bad rows in all.")


class Bar:
    """A line that is drawn again on a terminal; elsewhere a line now and then."""

    def __init__(self, out: Any, *, is_live: bool) -> None:
        self.out = out
        self.is_live = is_live
        self.last = 0.0

    def show(self, contact_import: ContactImport) -> None:
        now = time.monotonic()
        if now - self.last < (0.1 if self.is_live else 5):
            return
        self.last = now
        self.out.write(self._line(contact_import), ending="\r" if self.is_live else "\n")
        self.out.flush()

    def close(self) -> None:
        if self.is_live and self.last:
            self.out.write(" " * 78, ending="\r")

    def _line(self, contact_import: ContactImport) -> str:
        if contact_import.status != ImportStatus.WRITING:
            return f"Checking: {contact_import.row_count:,} rows read".ljust(78)
        total = max(1, contact_import.to_write_count)
        written = min(contact_import.written_count, total)
        filled = "█" * (written * BAR_WIDTH // total)
        return (
            f"Importing {filled:·<{BAR_WIDTH}} {written * 100 // total:3d} %  "
            f"{written:,} of {total:,}"
        ).ljust(78)
