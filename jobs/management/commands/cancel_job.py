"""`manage.py cancel_job 17`: ask a job to stop, as the portal's Cancel does."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from accounts.permissions import Actor
from jobs.execution.dispatch import Refused, cancel
from jobs.models import Job


class Command(BaseCommand):
    help = "Cancel a job: a pending one never starts, a running one stops at its next step."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", type=int)

    def handle(self, *args: object, **options: int) -> None:
        job = Job.objects.filter(pk=options["job"]).first()
        if job is None:
            raise CommandError(f"There is no job #{options['job']}.")
        try:
            job = cancel(job, Actor(name="command line"))
        except Refused as refused:
            raise CommandError(str(refused)) from None
        word = "Cancelling…" if job.is_cancelling else job.get_status_display()
        self.stdout.write(f"Job #{job.pk}: {word}")
