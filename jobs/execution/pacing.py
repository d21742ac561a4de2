"""A run's pace (calls begun a minute), shared by all workers: turns are handed out by the database."""

import asyncio
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from jobs.execution.effects import LONGEST_NAP
from jobs.execution.program import Program
from jobs.execution.stores import Store
from jobs.models import Job


class Turns:
    """The turns one batch has taken and not used yet."""

    def __init__(self, program: Program, store: Store):
        self.program, self.store = program, store
        self._reserved: list[float] = []  # by the monotonic clock
        self._none_before = 0.0  # when all turns of the near future are taken
        self._one_at_a_time = asyncio.Lock()  # a batch's records ask all at once

    async def next(self) -> float:
        """Seconds until this record's turn under the run's pace; 0 without one.

        Beyond LONGEST_NAP it is no turn but when to ask again.
        """
        pace = self.program.options.get("pace_per_minute")
        if not pace:
            return 0.0
        async with self._one_at_a_time:
            if not self._reserved:
                began = time.monotonic()
                if self._none_before - began > LONGEST_NAP:
                    return self._none_before - began
                first, every, count = await self.store.call(reserve, self.program.job_id, int(pace))
                if not count:
                    self._none_before = began + first
                    return float(first)
                self._reserved = [began + first + every * n for n in range(count)]
            return self._reserved.pop(0) - time.monotonic()


def reserve(job_id: int, per_minute: int) -> tuple[float, float, int]:
    """Take the next turns: (seconds until the first, seconds between them, how many).

    About a second's worth at a time: few writes, and little is lost with a worker. None where the
    first would be further off than anybody waits for it: who leaves would take it along unused.
    """
    every = 60.0 / per_minute
    count = max(1, per_minute // 60)
    with transaction.atomic():
        Job.objects.filter(pk=job_id).update(paced_until=F("paced_until"))  # the row lock
        row = Job.objects.values_list("paced_until", Now()).get(pk=job_id)
        paced_until, now = row[0], _aware(row[1])
        start = max(paced_until or now, now)
        ahead = (start - now).total_seconds()
        if ahead > LONGEST_NAP:
            return ahead, every, 0
        Job.objects.filter(pk=job_id).update(paced_until=start + timedelta(seconds=every * count))
    return ahead, every, count


def _aware(moment: datetime) -> datetime:
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
