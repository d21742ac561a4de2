"""Who a socket belongs to, at its opening and for as long as it is open."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import ApiToken, User
from jobs.notices import reading

if TYPE_CHECKING:
    from jobs.live.feed import Subscriber

LOOKED_UP_TOGETHER = 200


@dataclass(frozen=True)
class Holder:
    user_id: int
    session_key: str
    password: str
    team_ids: frozenset[int]
    unread: int


class Door:
    """Who comes while others are looked up is looked up with the next: three queries for them all."""

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Future[Holder | None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def holder_of(self, session_key: str) -> Holder | None:
        """Who holds this session, and their teams; None when nobody does."""
        if not session_key:
            return None
        answer = self._asked.get(session_key)
        if answer is None:
            answer = self._asked[session_key] = asyncio.get_running_loop().create_future()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(answer)

    async def _look(self) -> None:
        while self._asked:
            keys = list(self._asked)[:LOOKED_UP_TOGETHER]
            answers = {key: self._asked.pop(key) for key in keys}
            try:
                found = await holders_of(keys)
            except Exception as error:  # noqa: BLE001 - told to each who waits
                for answer in answers.values():
                    answer.set_exception(error)
            else:
                for key, answer in answers.items():
                    answer.set_result(found.get(key))


@database_sync_to_async
def holders_of(session_keys: list[str]) -> dict[str, Holder]:
    """By session key; three queries for all, and nobody for a session that is none."""
    kept = {}
    for session in Session.objects.filter(pk__in=session_keys, expire_date__gt=timezone.now()):
        values: dict[str, Any] = session.get_decoded()
        user_id = values.get(SESSION_KEY)
        if user_id and values.get(BACKEND_SESSION_KEY) in settings.AUTHENTICATION_BACKENDS:
            kept[session.pk] = (int(user_id), values.get(HASH_SESSION_KEY, ""))
    if not kept:
        return {}
    user_ids = {user_id for user_id, _ in kept.values()}
    passwords, teams = _passwords_and_teams(user_ids)
    unread = reading.unread_counts(user_ids)
    hashes = {
        pk: User(password=password).get_session_auth_hash() for pk, password in passwords.items()
    }
    return {
        session_key: Holder(
            user_id=user_id,
            session_key=session_key,
            password=passwords[user_id],
            team_ids=frozenset(teams[user_id]),
            unread=unread.get(user_id, 0),
        )
        for session_key, (user_id, session_hash) in kept.items()
        if user_id in passwords and constant_time_compare(session_hash, hashes[user_id])
    }


SIGNED_OUT = 4401  # nobody's any more: the page says so and stops
TEAMS_CHANGED = 4403  # still somebody's, with other teams: the page connects again


@database_sync_to_async
def lost(subscribers: "Iterable[Subscriber]") -> "list[tuple[Subscriber, int]]":
    """Those whose rights changed, each with the code to end it with. Two queries for all, and
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
    passwords, teams = _passwords_and_teams({s.user_id for s in subscribers})
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


def _passwords_and_teams(user_ids: set[int]) -> tuple[dict[int, str], dict[int, set[int]]]:
    """Of those who are active."""
    passwords: dict[int, str] = {}
    teams: dict[int, set[int]] = {}
    rows = User.objects.filter(pk__in=user_ids, is_active=True).values_list(
        "pk", "password", "memberships__team_id"
    )
    for user_id, password, team_id in rows:
        passwords[user_id] = password
        teams.setdefault(user_id, set()).update([team_id] if team_id is not None else [])
    return passwords, teams
