"""What a person or token may do: the only place where roles are compared (SPEC section 13)."""

from enum import Enum
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from accounts.models import ApiToken, Membership, Role, Team, User
from config.prepared import Prepared

RANK = {role: rank for rank, role in enumerate(Role.values)}


class Right(Enum):
    """Each right names the lowest role that has it."""

    READ = Role.VIEWER
    OPERATE = Role.OPERATOR  # start, cancel, resend, retry, import, approve
    BUILD = Role.BUILDER  # edit and publish spinners and workflows, secrets by name
    ADMINISTER = Role.ADMIN  # members, plan, tokens, agents, settings


class Actor:
    """Whoever acts: a user, a token or Spindle itself; `name` outlives the account."""

    def __init__(self, *, user: User | None = None, token: ApiToken | None = None, name: str = ""):
        self.user = user
        self.token = token
        self.name = name or (user.display_name if user else token.name if token else "Spindle")

    @property
    def source(self) -> str:
        return "portal" if self.user else "api" if self.token else "system"


SYSTEM = Actor(name="Spindle")


def role_in(actor: Actor | User, team_id: int) -> str | None:
    """The actor's role in the team, or None for an outsider. One query for a user."""
    if isinstance(actor, Actor) and actor.token:
        return actor.token.role if actor.token.team_id == team_id else None
    user = actor.user if isinstance(actor, Actor) else actor
    if user is None or not user.is_authenticated or not user.is_active:
        return None
    return (
        Membership.objects.filter(team_id=team_id, user_id=user.pk)
        .values_list("role", flat=True)
        .first()
    )


_ROLES = Prepared(
    lambda user_id: Membership.objects.filter(user_id=user_id).values_list("team_id", "role")
)


def roles_of_user(user: Any) -> dict[int, str]:
    """The role in each of the user's teams, by team id; none for who may not sign in."""
    if user.pk is None or not user.is_active:
        return {}
    return dict(_ROLES.rows(user_id=user.pk))


def roles_of(request: HttpRequest) -> dict[int, str]:
    """The signed-in user's; asked once a request."""
    if not hasattr(request, "_roles"):
        request._roles = roles_of_user(request.user)  # type: ignore[attr-defined]
    roles: dict[int, str] = request._roles  # type: ignore[attr-defined]
    return roles


def admins_of(team_id: int, most: int = 3) -> list[str]:
    """Names of the team's first admins: whom a member asks for what only they may change."""
    members = Membership.objects.filter(team_id=team_id, role=Role.ADMIN, user__is_active=True)
    return [m.user.display_name for m in members.select_related("user").order_by("pk")[:most]]


def allows(role: str | None, right: Right) -> bool:
    return role is not None and RANK[role] >= RANK[right.value]


def rights_of(role: str | None) -> dict[str, bool]:
    """Flags for templates: {"can_read": …, "can_operate": …, "can_build": …, "can_administer": …}."""
    return {f"can_{right.name.lower()}": allows(role, right) for right in Right}


def require(actor: Actor | User, team: Team | int, right: Right) -> str:
    """The actor's role; Http404 for an outsider, PermissionDenied for a member without the right."""
    return require_role(role_in(actor, team if isinstance(team, int) else team.pk), right)


def require_role(role: str | None, right: Right) -> str:
    """The same of a role that is known already; None is an outsider's."""
    if role is None:
        raise Http404("Not found.")
    if not allows(role, right):
        raise PermissionDenied(
            f"This needs the role {Role(right.value).label} or higher; "
            f"yours is {Role(role).label}. Ask a team admin."
        )
    return role
