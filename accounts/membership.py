"""Who belongs to a team: inviting, accepting, changing roles, leaving.

Each verb is one transaction with its audit entry, and raises the team's rights version, so
that open sockets look at their rights again.
"""

import hashlib
import secrets
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.errors import Refused
from accounts.models import Invitation, Membership, Role, Team, User, raise_rights_version
from accounts.permissions import Actor, Right, allows

INVITATION_LASTS = timedelta(days=7)


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def open_invitation(token: str) -> Invitation | None:
    """The invitation a link's token is for, if it still holds."""
    return (
        Invitation.objects.select_related("team")
        .filter(
            token_hash=hash_token(token),
            accepted_at=None,
            revoked_at=None,
            expires_at__gt=timezone.now(),
        )
        .first()
    )


@transaction.atomic
def invite(team: Team, actor: Actor, *, email: str, role: str) -> tuple[Invitation, str]:
    """Offer a seat; returns the invitation and its token, which is kept hashed only.

    An earlier open invitation of the same address is replaced. Raises Refused for a member.
    """
    email = email.strip().lower()
    if Membership.objects.filter(team=team, user__email__iexact=email).exists():
        raise Refused(f"{email} is a member already; change the role in the list instead.")
    team.invitations.filter(email__iexact=email, accepted_at=None, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        team=team, email=email, role=role, token_hash=hash_token(token),
        invited_by=actor.user, invited_by_name=actor.name,
        expires_at=timezone.now() + INVITATION_LASTS,
    )  # fmt: skip
    audit.record(team, actor, "member.invited", email, role=role)
    return invitation, token


@transaction.atomic
def accept(invitation: Invitation, user: User) -> Membership:
    """Take the seat, once. Raises Refused when somebody else did, or it was withdrawn."""
    taken = Invitation.objects.filter(
        pk=invitation.pk, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now()
    ).update(accepted_at=timezone.now())
    if not taken:
        raise Refused("This invitation does not hold any more. Ask for a new one.")
    if user.email.lower() != invitation.email.lower():
        raise Refused(f"This invitation is for {invitation.email}; sign in with that address.")
    try:
        with transaction.atomic():
            membership = Membership.objects.create(
                team=invitation.team, user=user, role=invitation.role
            )
    except IntegrityError:
        raise Refused("You are a member of this team already.") from None
    raise_rights_version(invitation.team_id)
    audit.record(
        invitation.team, Actor(user=user), "member.joined", user.display_name, role=invitation.role
    )
    return membership


@transaction.atomic
def revoke_invitation(invitation: Invitation, actor: Actor) -> None:
    changed = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    if not changed:
        raise Refused("This invitation was accepted or withdrawn meanwhile.")
    audit.record(invitation.team, actor, "invitation.withdrawn", invitation.email)


@transaction.atomic
def change_role(membership: Membership, actor: Actor, *, role: str) -> None:
    """Raises Refused where the team would be left without an admin."""
    if role == membership.role:
        return
    if allows(membership.role, Right.ADMINISTER):
        _keep_an_admin(membership)
    Membership.objects.filter(pk=membership.pk).update(role=role)
    raise_rights_version(membership.team_id)
    audit.record(
        membership.team, actor, "member.role_changed", membership.user.display_name,
        old=membership.role, new=role,
    )  # fmt: skip


@transaction.atomic
def remove(membership: Membership, actor: Actor) -> None:
    """End a membership: at once for pages, within seconds for open sockets."""
    if allows(membership.role, Right.ADMINISTER):
        _keep_an_admin(membership)
    membership.delete()
    raise_rights_version(membership.team_id)
    audit.record(membership.team, actor, "member.removed", membership.user.display_name)


def _keep_an_admin(membership: Membership) -> None:
    # Raising the team's version first locks its row: two admins cannot both leave at once.
    raise_rights_version(membership.team_id)
    others = Membership.objects.filter(team_id=membership.team_id, role=Role.ADMIN)
    if not others.exclude(pk=membership.pk).exists():
        raise Refused("A team needs an admin: make somebody else an admin first.")
