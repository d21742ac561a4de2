"""API tokens of a team: issued, shown once, revoked."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.errors import Refused
from accounts.models import ApiToken, Team
from accounts.permissions import Actor


@transaction.atomic
def issue(
    team: Team, actor: Actor, *, name: str, role: str, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """A token and its full text, which cannot be shown again."""
    token, text = ApiToken.issue(
        team=team, name=name, role=role, user=actor.user, expires_at=expires_at
    )
    audit.record(team, actor, "token.issued", name, role=role, prefix=token.prefix)
    return token, text


@transaction.atomic
def revoke(token: ApiToken, actor: Actor) -> None:
    if not ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
        raise Refused("This token was revoked already.")
    audit.record(token.team, actor, "token.revoked", token.name, prefix=token.prefix)
