"""A run beside the one before it, step by step: what passed, what failed, how long it took."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.views.generic import TemplateView

from accounts.models import Team
from accounts.views.access import TeamAccessMixin
from jobs.durations import percentile
from jobs.models import Job, StepCount
from projects.pipelines.diff import difference

# A step is called slower or faster beyond this; histograms know a length within a fifth.
NOTABLE_FACTOR = 1.5
NOTABLE_MS = 5
# A share of failures is called worse or better beyond so many points.
NOTABLE_POINTS = 2.0
OTHERS_OFFERED = 30


@dataclass(slots=True, frozen=True)
class StepFigures:
    """One step in one run; lengths in ms."""

    reached: int
    passed: int
    failed: int
    p50: float | None
    p95: float | None

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.reached if self.reached else 0.0


@dataclass(slots=True, frozen=True)
class StepComparison:
    name: str
    kind: str
    now: StepFigures | None
    before: StepFigures | None

    @property
    def pace(self) -> str:
        """slower, faster or "" when there is no saying."""
        if not self.now or not self.before or not self.now.p50 or not self.before.p50:
            return ""
        now, before = self.now.p50, self.before.p50
        if abs(now - before) < NOTABLE_MS:
            return ""
        if now > before * NOTABLE_FACTOR:
            return "slower"
        return "faster" if now * NOTABLE_FACTOR < before else ""

    @property
    def failures(self) -> str:
        if not self.now or not self.before:
            return ""
        points = self.now.failed_percent - self.before.failed_percent
        if abs(points) < NOTABLE_POINTS:
            return ""
        return "more failures" if points > 0 else "fewer failures"


class ComparisonView(TeamAccessMixin, TemplateView):
    """`?with=<id>` names another run of the same pipeline; without it, the one before."""

    template_name = "jobs/job_comparison.html"
    job: Job

    def find_team(self) -> Team:
        jobs = Job.objects.visible_to(self.request.user).select_related(
            "team", "project", "pipeline__project", "pipeline__team", "version"
        )
        self.job = get_object_or_404(jobs, pk=self.kwargs["pk"])
        return self.job.team

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        other = self._other()
        steps: list[StepComparison] = []
        if other is not None:
            steps = compare(self.job, other)
        return super().get_context_data(
            job=self.job,
            other=other,
            steps=steps,
            others=list(self._siblings().order_by("-pk")[:OTHERS_OFFERED]),
            version_change=_version_change(other, self.job) if other else None,
            project=self.job.project,
            **kwargs,
        )

    def _siblings(self) -> QuerySet[Job]:
        """Runs of the same pipeline in the same team."""
        return (
            Job.objects.filter(team=self.team, pipeline=self.job.pipeline_id)
            .exclude(pk=self.job.pk)
            .exclude(pipeline=None)
            .select_related("version")
            .defer("input", "output", "steps")
        )

    def _other(self) -> Job | None:
        wanted = self.request.GET.get("with", "")
        if wanted:
            if not wanted.isdecimal() or len(wanted) > 18:
                raise Http404("Not found.")
            return get_object_or_404(self._siblings(), pk=int(wanted))
        return self._siblings().filter(pk__lt=self.job.pk).order_by("-pk").first()


def compare(job: Job, other: Job) -> list[StepComparison]:
    """Steps are matched by name, so that two versions can be compared. One query."""
    counts: dict[tuple[int, int], StepCount] = {
        (count.job_id, count.step): count
        for count in StepCount.objects.filter(job__in=[job.pk, other.pk])
    }
    now, before = _by_name(job, counts), _by_name(other, counts)
    kinds = {**_kinds(other), **_kinds(job)}
    names = [*now, *(name for name in before if name not in now)]
    return [
        StepComparison(name, kinds.get(name, ""), now.get(name), before.get(name)) for name in names
    ]


def _by_name(job: Job, counts: dict[tuple[int, int], StepCount]) -> dict[str, StepFigures | None]:
    return {
        step["name"]: _figures(counts.get((job.pk, number)))
        for number, step in enumerate(_steps(job), start=1)
    }


def _steps(job: Job) -> Sequence[dict[str, Any]]:
    return job.version.steps if job.version else []


def _kinds(job: Job) -> dict[str, str]:
    return {step["name"]: step["kind"] for step in _steps(job)}


def _figures(count: StepCount | None) -> StepFigures:
    if count is None:
        return StepFigures(0, 0, 0, None, None)
    return StepFigures(
        count.reached_count, count.passed_count, count.failed_count,
        percentile(count.histogram, 0.5), percentile(count.histogram, 0.95),
    )  # fmt: skip


def _version_change(old: Job, new: Job) -> str:
    """What changed between the two runs' versions, in a line; "" when it is the same version."""
    if old.version_id == new.version_id or not old.version or not new.version:
        return ""
    return difference(old.version.definition, new.version.definition).summary
