"""Exactly the filtered jobs as a CSV file, streamed."""

from collections.abc import Iterator
from datetime import tzinfo
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views import View

from config.streaming import streamed_csv
from jobs.models import Job
from jobs.views.list import JobSelectionMixin
from projects.contacts.csv_writing import csv_lines

CHUNK = 1_000
COLUMNS = [
    "id", "name", "workflow", "ticket", "project", "status", "effort", "agent", "step", "steps",
    "contacts", "done", "failed", "skipped", "cancelled", "uncertain", "created", "started",
    "ended", "seconds", "created by", "source", "error",
]  # fmt: skip


class JobExportView(JobSelectionMixin, View):
    """Walks the list by key, a thousand rows at a time; no row is held longer than its chunk."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        name = f"jobs-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
        # The reader's zone, which is gone by the time the pieces are pulled.
        rows = self._rows(timezone.get_current_timezone())
        response = streamed_csv(request, csv_lines(COLUMNS, rows), file_name=name)
        response["Cache-Control"] = "no-store"
        return response

    def _rows(self, zone: tzinfo) -> Iterator[list[list[Any]]]:
        cursors: dict[int, int | None] = dict.fromkeys(self.team_ids)
        for team in self.team_ids:
            jobs = self.filterset.apply(Job.objects.filter(team_id=team), team_id=team)
            jobs = jobs.select_related("project").defer("input", "output", "steps", "selection")
            while True:
                below = cursors[team]
                rows = list((jobs.filter(pk__lt=below) if below else jobs).order_by("-pk")[:CHUNK])
                if not rows:
                    break
                cursors[team] = rows[-1].pk
                yield [_cells(job, zone) for job in rows]
                if len(rows) < CHUNK:
                    break


def _cells(job: Job, zone: tzinfo) -> list[Any]:
    def time(moment: Any) -> str:
        return moment.astimezone(zone).isoformat(timespec="seconds") if moment else ""

    seconds = job.duration_seconds
    return [
        job.pk, job.name, job.workflow_slug, job.ticket_key,
        job.project.name, job.status, job.effort_level, job.agent_name,
        job.current_step, job.step_count, job.total_count, job.done_count, job.failed_count,
        job.skipped_count, job.cancelled_count, job.uncertain_count, time(job.created_at),
        time(job.started_at), time(job.completed_at),
        "" if seconds is None else f"{seconds:.3f}", job.created_by_name, job.source,
        job.error[:1_000],
    ]  # fmt: skip
