"""The history of a team's settings."""

from typing import Any

from accounts.models import AuditEntry, Team
from accounts.permissions import Actor


def record(team: Team, actor: Actor, action: str, subject: str, **details: Any) -> AuditEntry:
    """Write one entry in the caller's transaction; `details` are old and new values, say."""
    return AuditEntry.objects.create(
        team=team, actor=actor.user, actor_name=actor.name, action=action,
        subject=subject[:300], details=details,
    )  # fmt: skip
