"""A project's records over all its runs: list, export, and failures by cause."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views import View
from django.views.generic import TemplateView

from accounts.permissions import Right
from config.streaming import streamed_csv
from jobs import record_export
from jobs.execution import dispatch
from jobs.filtersets.records import RecordFilterSet
from jobs.models import Job, Record
from jobs.pruning import Pruning, pruning_of
from jobs.querysets.causes import causes_of, causes_of_project
from jobs.querysets.keyset import COUNT_CAP, capped_count, page_of
from jobs.statuses import RecordStatus
from jobs.views.fragments import FragmentMixin, back_to
from projects.views.access import ProjectAccessMixin

RECORDS_A_PAGE = 50
MAIN_FILTERS = ("spinner", "status", "contact")
MOST_RUNS_RETRIED = 500


class ProjectRecordsMixin(ProjectAccessMixin):
    """The project's records as the address filters them; a filter that is not valid finds none."""

    def filterset(self) -> RecordFilterSet:
        return RecordFilterSet(
            self.request.GET,  # type: ignore[attr-defined]
            queryset=Record.objects.filter(project=self.project),
            project=self.project,
        )

    def filtered(self, filterset: RecordFilterSet) -> Any:
        return filterset.qs if filterset.form.is_valid() else Record.objects.none()


class RecordListView(FragmentMixin, ProjectRecordsMixin, TemplateView):
    template_name = "jobs/record_list.html"
    fragments = {"records": "jobs/_records.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        filterset = self.filterset()
        queryset = self.filtered(filterset)
        active = filterset.active()
        return super().get_context_data(
            filterset=filterset,
            active_filters=active,
            records=page_of(
                queryset.for_list(),
                filterset.order,
                self.request.GET,
                size=RECORDS_A_PAGE,
                branches=filterset.branches,
            ),
            record_count=capped_count(queryset, filterset.order, branches=filterset.branches),
            count_cap=COUNT_CAP,
            main_fields=[filterset.form[name] for name in MAIN_FILTERS],
            more_fields=[f for f in filterset.form if f.name not in MAIN_FILTERS],
            has_more_filters=any(name not in MAIN_FILTERS for name, _, _ in active),
            pruned_run=self._pruned_run(filterset),
            retention_days=self.project.team.record_retention_days,
            now=timezone.now(),
            **kwargs,
        )

    def _pruned_run(self, filterset: RecordFilterSet) -> Pruning | None:
        """Where one run's records are asked for and a rule took them."""
        job_id = filterset.form.cleaned_data.get("run") if filterset.form.is_valid() else None
        if job_id is None:
            return None
        run = self.project.jobs.filter(pk=job_id, records_pruned_at__isnull=False).first()  # type: ignore[attr-defined]
        return pruning_of(run, "records") if run else None


class RecordExportView(ProjectRecordsMixin, View):
    """R13: exactly the filtered records as CSV, streamed; times carry their offset."""

    def get(self, request: HttpRequest, slug: str) -> StreamingHttpResponse:
        filterset = self.filterset()
        return streamed_csv(
            request,
            record_export.lines(
                self.filtered(filterset), filterset.order, zone=timezone.get_current_timezone()
            ),
            file_name=f"records-{slug}-{timezone.localtime():%Y%m%d-%H%M}.csv",
        )


class FailureListView(ProjectRecordsMixin, TemplateView):
    """R7: failures grouped by cause; a group can be retried as one action."""

    template_name = "jobs/record_failures.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        filterset = self.filterset()
        active = filterset.active()
        if active:
            groups, is_partial = causes_of(self.filtered(filterset))
        else:
            groups, is_partial = causes_of_project(self.project), False
        return super().get_context_data(
            filterset=filterset, active_filters=active, groups=groups, is_partial=is_partial,
            now=timezone.now(), **kwargs,
        )  # fmt: skip


class CauseRetryView(ProjectRecordsMixin, View):
    """Retry every failed record of one cause, run by run, and say what became of it."""

    required_right = Right.OPERATE
    http_method_names = ["post"]

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        cause = request.POST.get("cause", "")
        failed = Record.objects.filter(
            project=self.project, status=RecordStatus.FAILED, cause=cause
        )
        if run := request.POST.get("run", ""):
            failed = failed.filter(job_id=int(run)) if run.isdigit() else failed.none()
        jobs = Job.objects.filter(pk__in=failed.order_by().values("job").distinct())
        count, refusals = 0, []
        for job in jobs.order_by("-pk")[:MOST_RUNS_RETRIED]:
            try:
                count += dispatch.retry_failed(job, self.actor, cause=cause)
            except dispatch.Refused as refusal:
                refusals.append(f"Run #{job.pk}: {refusal}")
        if count:
            messages.success(request, f"{count:,} record{'s' * (count != 1)} run again.")
        for text in refusals[:5]:
            messages.warning(request, text)
        if not count and not refusals:
            messages.info(request, "No failed record of this cause is left.")
        query = f"?{urlencode({'run': run})}" if run.isdigit() else ""
        return redirect(back_to(request, reverse("jobs:failures", args=[slug]) + query))
