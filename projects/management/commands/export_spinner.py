"""manage.py export_spinner <project> <spinner>: the page's export, on the command line."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from projects.management.pipelines import find_owner, find_pipeline
from projects.models import Pipeline, PipelineVersion
from projects.pipelines.transfer import as_document, as_json


class Command(BaseCommand):
    help = (
        "Write a spinner (with --workflow: a workflow) as JSON: its published version, or its "
        "draft where nothing is published. Secrets are in it by name only."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("owner", help="the project's slug; with --workflow the team's")
        parser.add_argument("pipeline", help="the spinner's or workflow's slug")
        parser.add_argument("--workflow", action="store_true", help="export a team's workflow")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--draft", action="store_true", help="the draft")
        which.add_argument(
            "--release", type=int, metavar="N", help="version N, not the current one"
        )
        parser.add_argument("--output", type=Path, help="a file; standard output if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        owner = find_owner(options["owner"], is_workflow=options["workflow"])
        pipeline = find_pipeline(owner, options["pipeline"])
        content = as_json(as_document(pipeline, _version(pipeline, options)))
        if options["output"] is None:
            self.stdout.write(content, ending="")
            return
        try:
            options["output"].write_text(content, encoding="utf-8")
        except OSError as error:
            raise CommandError(
                f"{options['output']} cannot be written: {error.strerror}."
            ) from None


def _version(pipeline: Pipeline, options: dict[str, Any]) -> PipelineVersion | None:
    if options["draft"]:
        return None
    if options["release"] is None:
        return pipeline.current_version
    found = pipeline.versions.filter(number=options["release"]).first()
    if found is None:
        raise CommandError(f"{pipeline.name} has no version {options['release']}.")
    return found
