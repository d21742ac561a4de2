"""`manage.py run_spinner <project> <spinner>`: start a run, and with --wait watch it to its end."""

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.http import QueryDict
from django.utils import timezone

from accounts.permissions import Actor
from jobs.execution import counting
from jobs.execution.dispatch import Refused, dispatch_spinner
from jobs.execution.forecast import forecast
from jobs.execution.selection import Selection
from jobs.models import Job
from jobs.progress import speed_of
from jobs.queueing import pending_reason
from jobs.statuses import JobStatus
from projects.contacts import importing, receiving
from projects.contacts.models import ImportStatus
from projects.models import ContactImport, Pipeline, Project

EVERY_SECONDS = 0.5
WIDTH = 30


class Command(BaseCommand):
    help = "Start a run of a published spinner. Exit code 1 if the run failed or was cancelled."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("spinner", help="the spinner's slug")
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--contacts", metavar="FILE", type=Path, help="import this CSV; run over its rows"
        )
        which.add_argument("--filter", metavar="QUERY", help='e.g. "q=smith&has_email=yes"')
        parser.add_argument("--effort", choices=["max", "high", "medium"], default="")
        parser.add_argument("--pace", type=int, help="calls a minute at most")
        parser.add_argument("--failure-limit", type=int, help="stop above so many percent failed")
        parser.add_argument(
            "--wait-for-plan", action="store_true", help="queue it where the month's plan is full"
        )
        parser.add_argument("--wait", action="store_true", help="draw progress until the end")

    def handle(self, *args: object, **options: Any) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        spinner = Pipeline.objects.spinners().filter(project=project, slug=options["spinner"])
        found = spinner.first()
        if found is None:
            raise CommandError(f"{project.name} has no spinner {options['spinner']!r}.")
        try:
            selection = self._selection(project, options)
            told = forecast(found, selection, effort=options["effort"], pace=options["pace"])
            job = dispatch_spinner(
                found, Actor(name="command line"), selection=selection,
                effort=options["effort"], source="cli", waits_for_plan=options["wait_for_plan"],
                options={
                    "pace_per_minute": options["pace"],
                    "failure_limit_percent": options["failure_limit"],
                },
            )  # fmt: skip
        except Refused as refused:
            raise CommandError(f"{refused.code}: {refused}") from None
        expected = f", usually {told.high_seconds:,.0f} s at most" if told.high_seconds else ""
        if told.is_held_by_pace:
            expected = f", about {told.paced_seconds:,.0f} s by its pace"
        self.stdout.write(f"Job #{job.pk} over {job.total_count:,} contacts{expected}.")
        if options["wait"]:
            self._wait(job)

    def _selection(self, project: Project, options: dict[str, Any]) -> Selection:
        if options["filter"]:
            query = QueryDict(options["filter"])
            return Selection(kind="filter", filter={key: query.getlist(key) for key in query})
        if options["contacts"]:
            return Selection(kind="import", import_id=self._import(project, options["contacts"]))
        return Selection()

    def _import(self, project: Project, path: Path) -> int:
        """Import the file in this process, all or nothing; its contacts are the run's."""
        try:
            with path.open("rb") as file:
                received = receiving.receive(
                    project, Actor(name="command line"), file=file, file_name=path.name
                )
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}.") from None
        except receiving.ImportRefusedError as error:
            raise CommandError(str(error)) from None
        # No message: this process does the work itself; should it die, the sweep hands it on.
        ContactImport.objects.filter(pk=received.pk).update(status=ImportStatus.QUEUED)
        done = None
        while done is None or done.is_active:
            done = importing.work(received.pk, turn_seconds=None)
            if done is None:  # a worker has it
                time.sleep(EVERY_SECONDS)
                done = ContactImport.objects.get(pk=received.pk)
        if done.status == ImportStatus.FAILED:
            raise CommandError(f"{path}: {done.error} (manage.py import_contacts lists why)")
        self.stdout.write(f"{path}: {done.row_count:,} rows imported.")
        return done.pk

    def _wait(self, job: Job) -> None:
        try:
            while not job.is_final:
                self._draw(job)
                time.sleep(EVERY_SECONDS)
                job.refresh_from_db()
        except KeyboardInterrupt:
            self.stdout.write("")
            self.stdout.write(
                f"The run goes on without you; cancel it: manage.py cancel_job {job.pk}"
            )
            raise SystemExit(130) from None
        self._draw(job)
        self.stdout.write("")
        self.stdout.write(f"{job.get_status_display()}: {counting.summary(job)}")
        if job.status != JobStatus.COMPLETED:
            self.stdout.write(job.error)
            raise SystemExit(1)

    def _draw(self, job: Job) -> None:
        done, total = job.finished_count, job.total_count
        filled = int(WIDTH * done / total) if total else WIDTH
        bar = "█" * filled + "░" * (WIDTH - filled)
        text = (
            f"{bar} {done:,}/{total:,}  done {job.done_count:,}  failed {job.failed_count:,}"
            f"  waiting {job.waiting_count:,}  {_speed(job)}"
        )
        if job.status == JobStatus.PENDING:
            text = f"{bar} {pending_reason(job)}"
        if sys.stdout.isatty():
            self.stdout.write(f"\r\x1b[2K{text}", ending="")
        else:
            self.stdout.write(text)
        self.stdout.flush()


def _speed(job: Job) -> str:
    if job.is_final:
        return ""
    speed = speed_of(job)
    if speed.ends_at is None:
        return f"likely end {speed.unknown}" if speed.unknown else ""
    left = (speed.ends_at - timezone.now()).total_seconds()
    return f"{speed.now or speed.average or 0:,.0f}/s, about {left:,.0f} s to go"
