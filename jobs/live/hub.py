"""One hub a web process: what the teams' active jobs are, and who is told.

    channel layer ──one channel, a group a team──▶ Hub ──▶ Feed (one a team) ──▶ sockets

The hub keeps every subscribed team's active jobs in memory, so that a snapshot costs no query,
totals are always whole, and a message is serialised once however many sockets there are. Taking
messages and telling them are two tasks: what comes while a thousand sockets are told goes to all
of them in the next frame together. A
lost push is mended by the safety poll, which joins the team's group again: what lost the push may
have lost the membership too. Rights are checked by the same tick.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from typing import Any

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db.models import Count, F, Sum

from jobs.live import facts, rights
from jobs.live.bell import Bell
from jobs.live.feed import NO_JOBS, TOTALS, Batch, Feed, Stamp, Subscriber, dumps, now_ms
from jobs.live.push import group_name
from jobs.models import Job
from jobs.statuses import ACTIVE_JOB_STATUSES

logger = logging.getLogger(__name__)

TICK_SECONDS = 3.0  # rights of open sockets, when nothing happens
RIGHTS_AGAIN_SECONDS = 1.0  # after a message, rights are looked at this soon
POLL_SECONDS = 6.0  # lost pushes
REJOIN_SECONDS = 1_800.0  # layers forget members of a group after a day
JOIN_SECONDS = 3.0  # a layer that does not answer keeps nobody waiting longer than this
CHECKED_TOGETHER = 200
QUIET_SECONDS = 0.05  # so long such a visit waits for sockets to be told; a busy hub is never quiet
SNAPSHOTS_KEPT = 100  # of as many sets of teams: pages that come back together share one
MOST_TOLD_SINGLY = 300  # changes found at once; of more than these a snapshot tells
SOCKETS_AT_ONCE = 100  # told without a pause; then others have their turn


class Hub:
    def __init__(self) -> None:
        self.feeds: dict[int, Feed] = {}
        self.layer = get_channel_layer()
        self.channel = ""
        self.is_rights_due = asyncio.Event()
        self.door = rights.Door()
        self.bell = Bell(self._subscribers)
        self._untold: dict[int, Feed] = {}
        self._is_telling_due = asyncio.Event()
        self._is_quiet = asyncio.Event()
        self._snapshots: dict[frozenset[int], tuple[list[tuple[Feed, int]], str]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def subscribe(self, subscriber: Subscriber) -> None:
        """Begin to tell a socket of its teams; a team's first socket loads its feed."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._receive()),
                asyncio.create_task(self._tell()),
                asyncio.create_task(self._tick()),
                asyncio.create_task(self.bell.ring()),
            ]
        for team_id in subscriber.team_ids:
            feed = self.feeds.get(team_id)
            if feed is None:
                feed = self.feeds[team_id] = Feed(team_id)
                feed.loaded = asyncio.ensure_future(self._open(feed))
            feed.subscribers.add(subscriber)
        try:
            await asyncio.gather(*(self.feeds[t].loaded for t in subscriber.team_ids))  # type: ignore[arg-type]
        except Exception:
            # The database is away: the next socket loads anew, this one's browser comes again.
            for team_id in subscriber.team_ids:
                self.feeds.pop(team_id, None)
            raise

    async def unsubscribe(self, subscriber: Subscriber) -> None:
        for team_id in subscriber.team_ids:
            feed = self.feeds.get(team_id)
            if feed is None:
                continue
            feed.subscribers.discard(subscriber)
            if not feed.subscribers:
                del self.feeds[team_id]
                if self.layer is not None and self.channel:
                    with contextlib.suppress(Exception):
                        await self.layer.group_discard(group_name(team_id), self.channel)

    def snapshot(self, subscriber: Subscriber) -> str:
        """The first 50 active jobs of the socket's teams, all totals, all counts of projects."""
        subscriber.forget()
        feeds = [self.feeds[t] for t in subscriber.team_ids if t in self.feeds]
        marks = [(feed, feed.changes) for feed in feeds]
        known, body = self._snapshots.get(subscriber.team_ids, ([], ""))
        if not body or known != marks:
            body = _snapshot(feeds)
            if len(self._snapshots) >= SNAPSHOTS_KEPT:
                self._snapshots.clear()
            self._snapshots[subscriber.team_ids] = (marks, body)
        unread = "" if subscriber.unread is None else f'"unread":{subscriber.unread},'
        return f'{{"type":"snapshot","now":{now_ms()},{unread}{body}'

    # The layer ----------------------------------------------------------------------------------

    async def _open(self, feed: Feed) -> None:
        """Join first and read then, so that nothing falls between."""
        try:
            await self._join(feed.team_id)
        except Exception as error:  # noqa: BLE001 - any layer's own error; the poll carries on
            logger.warning("The channel layer did not answer: %s", error)
        for job in await _load_active([feed.team_id]):
            feed.take(job)

    async def _join(self, team_id: int) -> None:
        if self.layer is None:
            return
        async with asyncio.timeout(JOIN_SECONDS):
            if not self.channel:
                self.channel = await self.layer.new_channel("hub.")  # type: ignore[call-arg]  # stubs forget it
            await self.layer.group_add(group_name(team_id), self.channel)

    async def _receive(self) -> None:
        """Take messages for ever; after a fault, join again and look at the database."""
        wait = 0.5
        while True:
            try:
                if self.layer is None:
                    return
                if not self.channel:
                    await self._rejoin()
                message = await self.layer.receive(self.channel)
                wait = 0.5
                if message["type"] == "hub.team":
                    await self._read_again(message["team"])
                else:
                    self._take(message["job"])
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - the layer may raise anything when it is away
                logger.warning("The channel layer is away: %s", error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5.0)
                with contextlib.suppress(Exception):
                    await self._rejoin()

    async def _rejoin(self) -> None:
        for team_id in list(self.feeds):
            await self._join(team_id)
        await self.poll()

    def _take(self, job: dict[str, Any]) -> None:
        feed = self.feeds.get(job["team"])
        if feed is not None and feed.take(job):
            self._hold(job)

    def _hold(self, job: dict[str, Any]) -> None:
        """To be told with the next frame."""
        if feed := self.feeds.get(job["team"]):
            feed.hold(job)
            self._untold[feed.team_id] = feed
            self._is_telling_due.set()
            self.is_rights_due.set()
            if job["status"] not in ACTIVE_JOB_STATUSES:
                self.bell.job_ended(job["id"])

    async def _read_again(self, team_id: int) -> None:
        """Many of a team's jobs changed together: one reading, and one snapshot for each socket."""
        feed = self.feeds.get(team_id)
        if feed is None:
            return
        await self._mend([feed])
        self._renew(feed)
        self.is_rights_due.set()

    def _renew(self, feed: Feed) -> None:
        for subscriber in feed.subscribers:
            subscriber.renew()

    # The sockets ---------------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Tell what was taken, for ever."""
        while True:
            self._is_quiet.set()
            await self._is_telling_due.wait()
            self._is_telling_due.clear()
            self._is_quiet.clear()
            while self._untold:
                _, feed = self._untold.popitem()
                while batch := feed.batch():
                    await self._tell_all(feed, batch)

    async def _tell_all(self, feed: Feed, batch: Batch) -> None:
        subscribers = list(feed.subscribers)
        for start in range(0, len(subscribers), SOCKETS_AT_ONCE):
            for subscriber in subscribers[start : start + SOCKETS_AT_ONCE]:
                try:
                    subscriber.tell(batch)
                except Exception:  # one socket's fault is not the others'
                    logger.exception("A socket could not be told.")
                    subscriber.renew()
            await asyncio.sleep(0)

    # The tick ------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        polled = joined = time.monotonic()
        while True:
            await asyncio.sleep(min(RIGHTS_AGAIN_SECONDS, TICK_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self.is_rights_due.wait(), max(0.0, TICK_SECONDS - RIGHTS_AGAIN_SECONDS)
                )
            self.is_rights_due.clear()
            try:
                await self.check_rights()
                if time.monotonic() - polled >= POLL_SECONDS:
                    polled = time.monotonic()
                    await self.poll()
                if time.monotonic() - joined >= REJOIN_SECONDS:
                    joined = time.monotonic()
                    await self._rejoin()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - the database may be away; the next tick tries again
                logger.warning("The hub could not look at the database: %s", error)

    async def poll(self) -> None:
        """Mend lost pushes: one cheap query, and two more for teams whose stamp differs; those are
        joined again, after they were told.
        """
        if not self.feeds:
            return
        stamps = await _load_stamps(list(self.feeds))
        differs = [t for t, feed in self.feeds.items() if feed.stamp != stamps.get(t, NO_JOBS)]
        if not differs:
            return
        feeds = [self.feeds[t] for t in differs]
        changed = await self._mend(feeds)
        if len(changed) > MOST_TOLD_SINGLY:
            for feed in feeds:
                self._renew(feed)
        else:
            for job in changed:
                self._hold(job)
        try:
            await asyncio.gather(*(self._join(feed.team_id) for feed in feeds))
        except Exception as error:  # noqa: BLE001 - any layer's own error; the next poll tries again
            logger.warning("The channel layer did not answer: %s", error)

    async def _mend(self, feeds: list[Feed]) -> list[dict[str, Any]]:
        """Make the feeds equal the database; the jobs that were not so, which nobody is told of
        yet. Two queries.
        """
        found = {job["id"]: job for job in await _load_active([feed.team_id for feed in feeds])}
        gone = [job_id for feed in feeds for job_id in feed.jobs if job_id not in found]
        ended = await _load_ids(gone) if gone else []
        by_team = {feed.team_id: feed for feed in feeds}
        changed = [job for job in [*found.values(), *ended] if by_team[job["team"]].take(job)]
        for job_id in set(gone) - {job["id"] for job in ended}:
            for feed in feeds:  # a job whose row is gone, with its project say
                if job_id in feed.jobs:
                    feed.drop(job_id)
                    self._renew(feed)
        return changed

    async def check_rights(self) -> None:
        """Close every socket whose session, account or membership no longer holds."""
        subscribers = list(self._subscribers())
        for start in range(0, len(subscribers), CHECKED_TOGETHER):
            await self._wait_for_quiet()
            for subscriber, code in await rights.lost(
                subscribers[start : start + CHECKED_TOGETHER]
            ):
                subscriber.close(code)

    def _subscribers(self) -> set[Subscriber]:
        return {s for feed in self.feeds.values() for s in feed.subscribers}

    async def _wait_for_quiet(self) -> None:
        """A thread at work takes the interpreter from those who write to sockets, at every write."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_quiet.wait(), QUIET_SECONDS)


@database_sync_to_async
def _load_stamps(team_ids: list[int]) -> dict[int, Stamp]:
    """(how many, sum of ids, sum of versions) of the teams' active jobs, from their small index."""
    rows = (
        Job.objects.active()
        .filter(team_id__in=team_ids)
        .order_by()
        .values_list("team_id")
        .annotate(
            Count("id"), Sum("id"), Sum("event_count"),
            finished=Sum(
                F("done_count") + F("failed_count") + F("skipped_count") + F("cancelled_count")
                + F("uncertain_count")
            ),
        )
    )  # fmt: skip
    return {
        team_id: (count, ids, facts.version_of(events, finished))
        for team_id, count, ids, events, finished in rows
    }


@database_sync_to_async
def _load_active(team_ids: Iterable[int]) -> list[dict[str, Any]]:
    return facts.load_active(list(team_ids))


@database_sync_to_async
def _load_ids(job_ids: Iterable[int]) -> list[dict[str, Any]]:
    return facts.load_ids(list(job_ids))


def _snapshot(feeds: list[Feed]) -> str:
    """The text of a snapshot after its time."""
    jobs = sorted(
        (job for feed in feeds for job in feed.jobs.values()),
        key=lambda j: (j["project"], j["project_id"], _rank(j), j["id"]),
    )
    return dumps(
        {
            "jobs": _shown(jobs),
            "totals": {str(feed.team_id): feed.totals for feed in feeds},
            "in_project": {
                str(project_id): count
                for feed in feeds
                for project_id, count in feed.by_project.items()
                if count
            },
        }
    ).removeprefix("{")


def _rank(job: dict[str, Any]) -> int:
    return TOTALS.index(job["status"])


def _shown(jobs: list[dict[str, Any]], limit: int = 50) -> list[dict[str, Any]]:
    """The first `limit`, running before waiting before pending, in the order of the panel."""
    if len(jobs) <= limit:
        return jobs
    chosen = {job["id"] for job in sorted(jobs, key=lambda j: (_rank(j), j["id"]))[:limit]}
    return [job for job in jobs if job["id"] in chosen]


_hubs: dict[int, Hub] = {}


def hub() -> Hub:
    """The hub of this process (of this event loop, which tests make anew)."""
    key = id(asyncio.get_running_loop())
    if key not in _hubs:
        _hubs.clear()
        _hubs[key] = Hub()
    return _hubs[key]
