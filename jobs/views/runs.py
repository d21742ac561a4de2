"""A project's Jobs page: its runs on the left, the chosen run's records on the right."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views import View
from django.views.generic import TemplateView

from accounts.permissions import Right
from jobs.execution import dispatch
from jobs.filtersets.records import RunRecordFilterSet, branches_of, runs_of
from jobs.models import Job, Worker
from jobs.progress import shares, speed_of
from jobs.pruning import pruning_of
from jobs.querysets.keyset import capped_count, page_of
from jobs.queueing import pending_reasons
from jobs.statuses import Effort, JobStatus
from jobs.views.fragments import FragmentMixin, back_to
from projects.views.access import ProjectAccessMixin

RUNS_A_PAGE = 20
RECORDS_A_PAGE = 50


class RunsView(FragmentMixin, ProjectAccessMixin, TemplateView):
    """Everything shown stands in the address: run, its page and filter, the page of runs."""

    template_name = "jobs/run_list.html"
    fragments = {
        "run-records": "jobs/_run_records.html",
        "runs": "jobs/_runs.html",
        "run-panes": "jobs/_run_panes.html",
    }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        runs = page_of(
            runs_of(self.project).defer("input", "output", "steps"), ["-id"], self.request.GET,
            size=RUNS_A_PAGE, prefix="runs_",
        )  # fmt: skip
        run = self._chosen(runs.rows)
        self._say_why_pending([*runs.rows, *([run] if run else [])])
        return super().get_context_data(
            runs=runs,
            run=run,
            is_chosen="job_id" in self.kwargs,
            worker_count=Worker.objects.up().count(),
            now=timezone.now(),
            **(self._records(run) if run else {}),
            **kwargs,
        )

    def _say_why_pending(self, runs: list[Job]) -> None:
        pending = {run.pk for run in runs if run.status == JobStatus.PENDING}
        reasons = pending_reasons(pending)
        for run in runs:
            run.project = self.project
            run.reason = reasons.get(run.pk, "")  # type: ignore[attr-defined]

    def _chosen(self, shown: list[Job]) -> Job | None:
        job_id = self.kwargs.get("job_id")
        if job_id is None:
            job_id = shown[0].pk if shown else None
        if job_id is None:
            return None
        queryset = runs_of(self.project).select_related("version", "pipeline", "resend_of")
        return get_object_or_404(queryset, pk=job_id)

    def _records(self, run: Job) -> dict[str, Any]:
        queryset = run.records.for_list().select_related(None)  # type: ignore[attr-defined]
        filterset = RunRecordFilterSet(self.request.GET, queryset=queryset)
        records = page_of(
            filterset.qs, ["position"], self.request.GET, size=RECORDS_A_PAGE,
            branches=branches_of(self.request.GET),
        )  # fmt: skip
        steps = run.version.steps if run.version else []
        return {
            "records": records,
            "record_count": self._count(run, filterset),
            "filterset": filterset,
            "shares": shares(run),
            "speed": speed_of(run),
            "steps": steps,
            "records_pruning": pruning_of(run, "records"),
            "funnel": funnel(run, steps),
            "resent_id": self._resent_id(run),
            "has_run_before": runs_of(self.project)
            .filter(pipeline=run.pipeline_id, pk__lt=run.pk)
            .exists(),
            "efforts": Effort.choices,
            # Contacts the run has not come to have no record yet.
            "unbegun_count": run.total_count - run.planned_count,
        }

    def _resent_id(self, run: Job) -> int | None:
        if run.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
            return None
        return Job.objects.filter(resend_of=run).values_list("pk", flat=True).first()

    def _count(self, run: Job, filterset: RunRecordFilterSet) -> int:
        """From the run's own counters where they know it; else counted up to the cap."""
        asked = {k: v for k, v in self.request.GET.items() if k in {"status", "step"} and v}
        if not asked:
            return run.total_count
        if set(asked) == {"status"}:
            known = {share.status: share.count for share in shares(run)}
            known["unprocessed"] = run.remaining_count
            if asked["status"] in known:
                return known[asked["status"]]
        return capped_count(filterset.qs, ["position"])


def funnel(run: Job, steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per step of the version, with the counts the workers keep; each leads to a filter."""
    counts = {count.step: count for count in run.step_counts.all()}  # type: ignore[attr-defined]
    return [
        {
            "number": number, "name": step["name"], "kind": step["kind"],
            "cells": [
                {"place": place, "count": getattr(counts.get(number), f"{place}_count", 0)}
                for place in ("reached", "passed", "failed", "waiting", "uncertain")
            ],
        }
        for number, step in enumerate(steps, start=1)
    ]  # fmt: skip


class RunActionView(ProjectAccessMixin, View):
    """Cancel, resend, retry the failed, pause and resume: the verb, a sentence, and back."""

    required_right = Right.OPERATE
    http_method_names = ["post"]

    def post(self, request: HttpRequest, slug: str, job_id: int) -> HttpResponse:
        run = get_object_or_404(runs_of(self.project), pk=job_id)
        act = {
            "cancel": self._cancel, "resend": self._resend, "retry_failed": self._retry_failed,
            "pause": self._pause, "resume": self._resume,
        }.get(request.POST.get("action", ""))  # fmt: skip
        if act is None:
            raise Http404("Not found.")
        landing = back_to(request, reverse("jobs:runs", args=[slug, run.pk]))
        try:
            landing = act(run) or landing
        except dispatch.Refused as refusal:
            messages.error(request, str(refusal))
        return redirect(landing)

    def _cancel(self, run: Job) -> None:
        dispatch.cancel(run, self.actor)
        messages.success(self.request, f"Run #{run.pk} is being cancelled.")

    def _resend(self, run: Job) -> str:
        effort = self.request.POST.get("effort", "")
        job, is_new = dispatch.resend(run, self.actor, effort=effort or None)
        said = f"Sent again as run #{job.pk}." if is_new else f"It was sent already: run #{job.pk}."
        messages.success(self.request, said)
        return reverse("jobs:runs", args=[self.project.slug, job.pk])

    def _retry_failed(self, run: Job) -> None:
        count = dispatch.retry_failed(run, self.actor)
        messages.success(self.request, f"{count:,} failed record{'s' * (count != 1)} run again.")

    def _pause(self, run: Job) -> None:
        dispatch.pause_project(self.project, self.actor, reason=f"from run #{run.pk}")
        messages.success(self.request, f"{self.project.name} is paused: nothing new is begun.")

    def _resume(self, run: Job) -> None:
        dispatch.resume_project(self.project, self.actor)
        messages.success(self.request, f"{self.project.name} goes on.")
