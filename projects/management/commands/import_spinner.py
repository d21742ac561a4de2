"""manage.py import_spinner <project> <file>: the page's import, on the command line."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.permissions import Actor
from projects.management.pipelines import as_command_error, find_owner, find_pipeline
from projects.pipelines.refusal import PipelineRefused
from projects.pipelines.transfer import MAX_FILE_BYTES, import_pipeline
from projects.publishing import publish


class Command(BaseCommand):
    help = (
        "Import a spinner (with --workflow: a workflow) from a JSON file as a draft. A file with "
        "steps that would not work changes nothing; each problem is printed with step and field."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("owner", help="the project's slug; with --workflow the team's")
        parser.add_argument("file", help="the JSON file; - reads standard input")
        parser.add_argument("--workflow", action="store_true", help="import a team's workflow")
        parser.add_argument("--name", default="", help="another name than the file's")
        parser.add_argument(
            "--into", default="", metavar="SLUG", help="replace the draft of this one instead"
        )
        parser.add_argument("--publish", action="store_true", help="publish it at once")
        parser.add_argument("--note", default="", help="a note for the history")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = find_owner(options["owner"], is_workflow=options["workflow"])
        into = find_pipeline(owner, options["into"]) if options["into"] else None
        actor = Actor(name="the command line")
        try:
            pipeline = import_pipeline(
                owner, actor, content=_read(options["file"]), name=options["name"], into=into
            )
            self.stdout.write(f"Imported {pipeline.name} as a draft: {pipeline.slug}")
            if options["publish"]:
                version = publish(pipeline, actor, note=options["note"])
                self.stdout.write(f"Published version {version.number}.")
        except PipelineRefused as refused:
            raise as_command_error(refused) from None


def _read(name: str) -> bytes:
    # One byte more than allowed is enough to know that it is too large.
    if name == "-":
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None
