"""The queue: pending jobs in the order they will start, with place and reason; pause and resume."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.generic import TemplateView

from accounts.models import Team
from accounts.permissions import Right
from accounts.templatetags.spindle import ago_words
from jobs.execution.dispatch import Refused, pause_project, resume_project
from jobs.models import Job, Worker
from jobs.querysets.keyset import KeysetPage, capped_count, page_of
from jobs.queueing import Queued, held_back, in_line, pending_of, queued
from jobs.rows import title_case
from jobs.views.scope import TeamsScopeMixin
from projects.models import Project
from projects.views.access import ProjectAccessMixin

PAGE_SIZE = 50
MOST_HELD = 50


@dataclass(slots=True)
class TeamQueue:
    """One team's line; `held` are pending too, but have no place until they are let go."""

    team: Team
    page: KeysetPage[Job]
    line: list[Queued]
    held: list[Queued]
    count: int
    held_count: int
    can_operate: bool
    prefix: str


class QueueView(TeamsScopeMixin, TemplateView):
    template_name = "jobs/queue.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        teams = Team.objects.filter(pk__in=self.team_ids).order_by("name")
        operated = self.teams_with(Right.OPERATE)
        projects = list(Project.objects.filter(team_id__in=self.team_ids).order_by("name"))
        for project in projects:
            project.can_operate = project.team_id in operated  # type: ignore[attr-defined]
        queues = [self._queue(team, can_operate=team.pk in operated) for team in teams]
        return super().get_context_data(
            queues=queues,
            pending_count=sum(queue.count + queue.held_count for queue in queues),
            projects=projects,
            paused=[project for project in projects if project.paused_at],
            worker_count=Worker.objects.up().count(),
            can_operate=bool(operated),
            has_teams=len(self.team_ids) > 1,
            **kwargs,
        )

    def _queue(self, team: Team, *, can_operate: bool) -> TeamQueue:
        now = timezone.now()
        prefix = f"t{team.pk}-"
        line = in_line(team.pk, now).select_related("project")
        page = page_of(line, ["pk"], self.request.GET, size=PAGE_SIZE, prefix=prefix)
        first = capped_count(line.filter(pk__lt=page.rows[0].pk)) + 1 if page.rows else 1
        held = pending_of(team.pk).filter(held_back(now))
        shown_held = held.select_related("project").order_by("pk")[:MOST_HELD]
        return TeamQueue(
            team=team, page=page, prefix=prefix, can_operate=can_operate,
            line=dressed(queued(page.rows, team_id=team.pk, first_place=first)),
            held=dressed(queued(shown_held, team_id=team.pk)),
            count=capped_count(line), held_count=capped_count(held),
        )  # fmt: skip


def dressed(rows: list[Queued]) -> list[Queued]:
    now = timezone.now()
    for row in rows:
        row.job.title = title_case(row.job.workflow_slug or row.job.label)  # type: ignore[attr-defined]
        row.job.waited = ago_words((now - row.job.created_at).total_seconds())  # type: ignore[attr-defined]
    return rows


class PauseView(ProjectAccessMixin, View):
    """Pause (with a reason) or resume a project's queue; both name who and when."""

    required_right = Right.OPERATE

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            if request.POST.get("act") == "resume":
                resume_project(self.project, self.actor)
                messages.success(request, f"{self.project} goes on.")
            else:
                reason = request.POST.get("reason", "").strip()[:300]
                pause_project(self.project, self.actor, reason=reason)
                messages.success(request, f"{self.project} is paused; what is at work finishes.")
        except Refused as refusal:
            messages.warning(request, str(refusal))
        back = request.POST.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts=None)
        return redirect(back if is_ours else "jobs:queue")
