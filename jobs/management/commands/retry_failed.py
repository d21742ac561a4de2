"""`manage.py retry_failed 17`: run a job's failed records again from their failed step."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.permissions import Actor
from jobs.execution.dispatch import Refused, retry_failed
from jobs.models import Job


class Command(BaseCommand):
    help = "Retry the failed records of a job; steps that were finished do not run again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", type=int)
        parser.add_argument("--cause", help="Only failures of this cause, as the portal shows it.")

    def handle(self, *args: Any, **options: Any) -> None:
        job = Job.objects.filter(pk=options["job"]).first()
        if job is None:
            raise CommandError(f"There is no job #{options['job']}.")
        cause = options["cause"]
        try:
            count = retry_failed(
                job, Actor(name="command line"), cause=str(cause) if cause else None
            )
        except Refused as refused:
            raise CommandError(str(refused)) from None
        self.stdout.write(f"Job #{job.pk}: {count:,} records are run again.")
