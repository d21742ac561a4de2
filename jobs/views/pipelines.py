"""Lists of spinners and workflows, and the page of one: what ran lately and how long it took."""

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.db.models import OuterRef, QuerySet, Subquery
from django.views.generic import ListView, TemplateView

from accounts.models import Membership
from accounts.permissions import Right, allows
from jobs.models import DurationRange, Job
from jobs.views.run_chart import run_chart
from projects.models import Pipeline, PipelineKind
from projects.pipelines.flow import flow_of
from projects.views.pipeline_access import PipelineAccessMixin, PipelineOwnerMixin

RUNS_SHOWN = 30


class PipelineListMixin:
    """Rows of pipelines, each with its last run and usual length; four queries for any number."""

    template_name: str | None = "projects/pipeline_list.html"
    paginate_by: int | None = 50

    def visible_pipelines(self) -> QuerySet[Pipeline]:
        raise NotImplementedError

    @property
    def is_archive(self) -> bool:
        return self.request.GET.get("show") == "archived"  # type: ignore[attr-defined]

    @property
    def search(self) -> str:
        return self.request.GET.get("q", "").strip()  # type: ignore[attr-defined]

    def get_queryset(self) -> QuerySet[Pipeline]:
        pipelines = self.visible_pipelines().filter(archived_at__isnull=not self.is_archive)
        if self.search:
            pipelines = pipelines.filter(name__icontains=self.search)
        latest = Job.objects.filter(pipeline=OuterRef("pk")).order_by("-id").values("pk")[:1]
        return (
            pipelines.select_related("project", "team", "current_version")
            .annotate(last_job_id=Subquery(latest))
            .order_by("team__name", "name", "pk")
        )

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)  # type: ignore[misc]
        pipelines = list(context["object_list"])
        for row, job, usual in _with_runs(pipelines):
            row.last_job, row.usual = job, usual
            row.flow = flow_of(row.draft)
        return {
            **context,
            "pipelines": pipelines,
            "is_archive": self.is_archive,
            "search": self.search,
        }


class SpinnerListView(PipelineListMixin, PipelineOwnerMixin, ListView):  # type: ignore[type-arg]
    kind = PipelineKind.SPINNER

    def visible_pipelines(self) -> QuerySet[Pipeline]:
        return Pipeline.objects.spinners().filter(project=self.project)


class WorkflowListView(PipelineListMixin, LoginRequiredMixin, ListView):  # type: ignore[type-arg]
    """The workflows of all the user's teams; a team's name is shown when there are several."""

    def visible_pipelines(self) -> QuerySet[Pipeline]:
        return Pipeline.objects.workflows().visible_to(self.request.user)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        memberships = list(
            Membership.objects.filter(user_id=self.request.user.pk or 0)
            .select_related("team")
            .order_by("team__name")
        )
        building = [each.team for each in memberships if allows(each.role, Right.BUILD)]
        operating = {each.team_id for each in memberships if allows(each.role, Right.OPERATE)}
        context = super().get_context_data(**kwargs)
        for row in context["pipelines"]:
            row.can_run = row.team_id in operating
            row.can_edit = row.team_id in {team.pk for team in building}
        return {
            **context,
            "kind": PipelineKind.WORKFLOW,
            "noun": "workflow",
            "building_teams": building,
            "has_several_teams": len(memberships) > 1,
        }


class PipelineDetailView(PipelineAccessMixin, TemplateView):
    template_name = "projects/pipeline_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        runs = list(
            Job.objects.filter(pipeline=self.pipeline)
            .select_related("version")
            .defer("input", "output", "steps")
            .order_by("-id")[:RUNS_SHOWN]
        )
        shown = self.pipeline.current_version
        return super().get_context_data(
            runs=runs,
            chart=run_chart(runs),
            usual=list(DurationRange.objects.filter(pipeline=self.pipeline)),
            flow=flow_of(shown.definition if shown else self.pipeline.draft),
            versions=list(self.pipeline.versions.defer("definition")[:5]),
            **kwargs,
        )


def _with_runs(
    pipelines: list[Pipeline],
) -> list[tuple[Any, Job | None, DurationRange | None]]:
    """Each pipeline with its last job and its usual length (of any effort, the most seen)."""
    ids = [row.last_job_id for row in pipelines if row.last_job_id]  # type: ignore[attr-defined]
    jobs = Job.objects.defer("input", "output", "steps").in_bulk(ids)
    usual: dict[int, DurationRange] = {}
    ranges = DurationRange.objects.filter(pipeline__in=pipelines).order_by("sample_count")
    for learned in ranges:
        usual[learned.pipeline_id] = learned
    return [
        (row, jobs.get(row.last_job_id), usual.get(row.pk))  # type: ignore[attr-defined]
        for row in pipelines
    ]
