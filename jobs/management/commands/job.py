"""`manage.py job 17`: a job and its history."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count

from jobs.execution import counting
from jobs.failures import explain
from jobs.models import Job
from jobs.queueing import pending_reason


class Command(BaseCommand):
    help = "Print a job, its counts and the history of its execution."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", type=int)
        parser.add_argument("--failures", action="store_true", help="List failures by cause too.")

    def handle(self, *args: Any, **options: Any) -> None:
        job = Job.objects.select_related("project", "version").filter(pk=options["job"]).first()
        if job is None:
            raise CommandError(f"There is no job #{options['job']}.")
        self._facts(job)
        if options["failures"]:
            self._failures(job)
        self.stdout.write("")
        for event in job.events.order_by("number"):
            who = f"  ({event.actor_name})" if event.actor_name not in ("", "Spindle") else ""
            self.stdout.write(
                f"{event.number:>4}  {event.at:%Y-%m-%d %H:%M:%S}  {event.kind:<22}"
                f"  {event.message}{who}"
            )

    def _facts(self, job: Job) -> None:
        status = "Cancelling…" if job.is_cancelling else job.get_status_display()
        self.stdout.write(f"Job #{job.pk}  {job.name}  [{status}]")
        seconds = job.duration_seconds
        for label, value in (
            ("Project", job.project.name),
            ("Version", str(job.version.number) if job.version else ""),
            ("Started by", f"{job.created_by_name} ({job.source})"),
            ("Agent", job.agent_name),
            ("Why pending", pending_reason(job)),
            ("Length", f"{seconds:,.1f} s" if seconds is not None else ""),
            ("Records", f"{job.finished_count:,} of {job.total_count:,}: {counting.summary(job)}"),
            ("Error", f"{job.error} {explain(job.error_type).action}" if job.error else ""),
            ("Output", job.output),
        ):
            if value:
                self.stdout.write(f"{label + ':':<13}{value}")

    def _failures(self, job: Job) -> None:
        causes = (
            job.records.filter(status="failed").values("cause").annotate(count=Count("pk"))
            .order_by("-count")[:50]
        )  # fmt: skip
        for row in causes:
            self.stdout.write(f"{row['count']:>8,} × {row['cause']}")
