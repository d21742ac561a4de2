"""Tasks as a team's own app would have them; the first is the example of docs/live.md."""

import time

from celery import shared_task

from jobs.tracked import TrackedTask

written: list[int] = []


def on_each(job_id: int, thing: int) -> None:
    """A test puts its own in place of this."""


def write(row: int) -> None:
    written.append(row)


@shared_task(base=TrackedTask, bind=True, label="Nightly export")
def export(self, rows):
    for row in self.track(rows):
        write(row)
    return f"{len(rows)} rows written"


@shared_task(base=TrackedTask, bind=True)
def fail_at_once(self):
    raise ValueError("no such table")


@shared_task(base=TrackedTask, bind=True)
def look_at_progress(self, count):
    for thing in self.track(range(count)):
        on_each(self.job_id, thing)


@shared_task(base=TrackedTask, bind=True, label="Slow export")
def export_slowly(self, count):
    for _ in self.track(range(count)):
        time.sleep(0.1)
