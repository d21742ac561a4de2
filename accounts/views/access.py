"""Who may open a page: mixins for views, so that no view compares roles itself."""

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse

from accounts.models import Team
from accounts.permissions import Actor, Right, require_role, rights_of, roles_of


class TeamAccessMixin(LoginRequiredMixin):
    """Opens a page of one team: sets `team` and `role`; 404 for outsiders, 403 for too low a role.

    `required_right` may differ for writing: set `write_right` for POST.
    """

    required_right = Right.READ
    write_right: Right | None = None
    team: Team
    role: str

    def find_team(self) -> Team:
        team = Team.objects.visible_to(self.request.user).filter(  # type: ignore[attr-defined]
            slug=self.kwargs["team"]  # type: ignore[attr-defined]
        )
        found = team.first()
        if found is None:
            raise Http404("Not found.")
        return found

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        self.team = self.find_team()
        writes = request.method not in {"GET", "HEAD", "OPTIONS"}
        right = self.write_right if writes and self.write_right else self.required_right
        self.role = require_role(roles_of(request).get(self.team.pk), right)
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    @property
    def actor(self) -> Actor:
        return Actor(user=self.request.user)  # type: ignore[attr-defined]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)  # type: ignore[misc]
        return {**context, "team": self.team, **rights_of(self.role)}
