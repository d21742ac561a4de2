from django.http import Http404

from accounts.models import Team
from accounts.views.access import TeamAccessMixin
from projects.models import Project


class ProjectAccessMixin(TeamAccessMixin):
    """Opens a page of the project in the address (`slug`): sets `project`, `team`, `role`."""

    project: Project

    def find_team(self) -> Team:
        found = (
            Project.objects.visible_to(self.request.user)  # type: ignore[attr-defined]
            .select_related("team")
            .filter(slug=self.kwargs["slug"])  # type: ignore[attr-defined]
            .first()
        )
        if found is None:
            raise Http404("Not found.")
        self.project = found
        return found.team

    def get_context_data(self, **kwargs):  # type: ignore[no-untyped-def]
        return super().get_context_data(project=self.project, **kwargs)
