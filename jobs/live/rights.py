"""Who a socket belongs to, at its opening and for as long as it is open."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import ApiToken, Membership, User

if TYPE_CHECKING:
    from jobs.live.hub import Subscriber


@dataclass(frozen=True)
class Holder:
    user_id: int
    session_key: str
    password: str
    team_ids: frozenset[int]


@database_sync_to_async
def holder_of(session_key: str) -> Holder | None:
    """Who holds this session, and their teams; None when nobody does. Two queries."""
    session = Session.objects.filter(pk=session_key, expire_date__gt=timezone.now()).first()
    if session is None:
        return None
    kept: dict[str, Any] = session.get_decoded()
    user_id = kept.get(SESSION_KEY)
    if not user_id or kept.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    rows = list(
        User.objects.filter(pk=user_id, is_active=True).values_list(
            "password", "memberships__team_id"
        )
    )
    if not rows:
        return None
    password = rows[0][0]
    expected = User(password=password).get_session_auth_hash()
    if not constant_time_compare(kept.get(HASH_SESSION_KEY, ""), expected):
        return None
    return Holder(
        user_id=int(user_id),
        session_key=session_key,
        password=password,
        team_ids=frozenset(team_id for _, team_id in rows if team_id is not None),
    )


SIGNED_OUT = 4401  # nobody's any more: the page says so and stops
TEAMS_CHANGED = 4403  # still somebody's, with other teams: the page connects again


@database_sync_to_async
def lost(subscribers: "Iterable[Subscriber]") -> "list[tuple[Subscriber, int]]":
    """Those whose rights changed, each with the code to end it with. Three queries for all, and
    one for programs."""
    programs = {s for s in subscribers if s.token_id is not None}
    people = [s for s in subscribers if s not in programs]
    found = _lost_programs(programs) if programs else []
    return [*found, *_lost_people(people)] if people else found


def _lost_programs(subscribers: "set[Subscriber]") -> "list[tuple[Subscriber, int]]":
    usable = set(
        ApiToken.objects.usable()
        .filter(pk__in={s.token_id for s in subscribers})
        .values_list("pk", flat=True)
    )
    return [(s, SIGNED_OUT) for s in subscribers if s.token_id not in usable]


def _lost_people(subscribers: "list[Subscriber]") -> "list[tuple[Subscriber, int]]":
    user_ids = {s.user_id for s in subscribers}
    passwords = dict(
        User.objects.filter(pk__in=user_ids, is_active=True).values_list("pk", "password")
    )
    teams: dict[int, set[int]] = {}
    for user_id, team_id in Membership.objects.filter(user_id__in=user_ids).values_list(
        "user_id", "team_id"
    ):
        teams.setdefault(user_id, set()).add(team_id)
    sessions = set(
        Session.objects.filter(
            pk__in={s.session_key for s in subscribers}, expire_date__gt=timezone.now()
        ).values_list("pk", flat=True)
    )
    found = []
    for s in subscribers:
        if s.session_key not in sessions or passwords.get(s.user_id) != s.password:
            found.append((s, SIGNED_OUT))
        elif teams.get(s.user_id, set()) != s.team_ids:
            found.append((s, TEAMS_CHANGED))
    return found
