"""Spinners and workflows share their pages; these mixins find whose they are."""

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse

from accounts.models import Team
from accounts.permissions import Right
from accounts.views.access import TeamAccessMixin
from projects.models import Pipeline, PipelineKind, Project


class PipelineOwnerMixin(TeamAccessMixin):
    """Opens a page of a project's spinners or a team's workflows, by the route's `kind`.

    Sets `owner` (the project or the team), `project` (None for workflows) and `team`.
    """

    write_right = Right.BUILD
    kind: str = PipelineKind.SPINNER
    project: Project | None = None

    @property
    def owner(self) -> Project | Team:
        return self.project or self.team

    @property
    def list_url(self) -> str:
        if self.project:
            return reverse("projects:spinners", args=[self.project.slug])
        return reverse("projects:workflows")

    def find_team(self) -> Team:
        slug, user = self.kwargs["owner"], self.request.user  # type: ignore[attr-defined]
        if self.kind == PipelineKind.WORKFLOW:
            return get_object_or_404(Team.objects.visible_to(user), slug=slug)
        projects = Project.objects.visible_to(user).select_related("team")
        self.project = get_object_or_404(projects, slug=slug)
        return self.project.team

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        noun = PipelineKind(self.kind).label.lower()
        # Only a spinner's page belongs to a project; a workflow's keeps the shell's current one.
        mine = {"project": self.project} if self.project else {}
        return {
            **context,
            **mine,
            "kind": self.kind,
            "noun": noun,
            "owner": self.owner,
            "list_url": self.list_url,
        }


class PipelineAccessMixin(PipelineOwnerMixin):
    """Opens a page of the pipeline in the address: sets `pipeline` too."""

    pipeline: Pipeline

    def find_team(self) -> Team:
        team = super().find_team()
        found = (
            Pipeline.objects.select_related("project", "team", "current_version")
            .filter(kind=self.kind, team=team, project=self.project)
            .filter(slug=self.kwargs["pipeline"])  # type: ignore[attr-defined]
            .first()
        )
        if found is None:
            raise Http404("Not found.")
        self.pipeline = found
        return team

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # The address's own words (`pipeline` is a slug there) come as kwargs: the row wins.
        return {**super().get_context_data(**kwargs), "pipeline": self.pipeline}
