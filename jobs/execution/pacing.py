"""A run's pace (records a minute), shared by all workers: turns are handed out by the database."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from jobs.models import Job


def reserve(job_id: int, per_minute: int) -> tuple[float, float, int]:
    """Take the next turns: (seconds until the first, seconds between them, how many).

    About a second's worth at a time: few writes, and little is lost with a worker.
    """
    every = 60.0 / per_minute
    count = max(1, per_minute // 60)
    with transaction.atomic():
        Job.objects.filter(pk=job_id).update(paced_until=F("paced_until"))  # the row lock
        row = Job.objects.annotate(now=Now()).values_list("paced_until", "now").get(pk=job_id)
        paced_until, now = row[0], _aware(row[1])
        start = max(paced_until or now, now)
        Job.objects.filter(pk=job_id).update(paced_until=start + timedelta(seconds=every * count))
    return (start - now).total_seconds(), every, count


def _aware(moment: datetime) -> datetime:
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
