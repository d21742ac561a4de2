"""Pages over all of a user's teams: which teams those are, and what the user may do in each."""

from functools import cached_property
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest

from accounts.models import Team
from accounts.permissions import Actor, Right, allows, roles_of
from accounts.views.access import TeamAccessMixin
from jobs.models import Job
from jobs.querysets.jobs import JobQuerySet


class TeamsScopeMixin(LoginRequiredMixin):
    """Sets `roles` ({team id: role}); everything a page shows is filtered by its keys."""

    request: HttpRequest

    @cached_property
    def roles(self) -> dict[int, str]:
        return roles_of(self.request)

    @property
    def team_ids(self) -> list[int]:
        return sorted(self.roles)

    def teams_with(self, right: Right) -> list[int]:
        return sorted(team for team, role in self.roles.items() if allows(role, right))

    @property
    def actor(self) -> Actor:
        return Actor(user=self.request.user)  # type: ignore[arg-type]

    @property
    def jobs(self) -> JobQuerySet:
        return Job.objects.of_teams(self.team_ids)


class JobAccessMixin(TeamAccessMixin):
    """Opens a page of the job in the address (`pk`): sets `job`, `team`, `role`.

    One that does not exist and one of another team are the same "not found" (D18).
    """

    job: Job

    def find_team(self) -> Team:
        found = (
            Job.objects.of_teams(roles_of(self.request))  # type: ignore[attr-defined]
            .for_detail()
            .filter(pk=self.kwargs["pk"])  # type: ignore[attr-defined]
            .order_by()
            .first()
        )
        if found is None:
            raise Http404("Not found.")
        self.job = found
        return found.team

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(job=self.job, **kwargs)
