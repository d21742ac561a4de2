"""One hub a web process: what the teams' active jobs are, and who is told.

    channel layer ──one channel, a group a team──▶ Hub ──▶ Feed (one a team) ──▶ sockets

The hub keeps every subscribed team's active jobs in memory, so that a snapshot costs no query,
totals are always whole, and a message is serialised once however many sockets there are. A
lost push is mended by the safety poll, which joins the team's group again: what lost the push may
have lost the membership too. Rights are checked by the same tick.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db.models import Count, F, Sum

from jobs.live import facts, rights
from jobs.live.push import group_name
from jobs.models import Job
from jobs.statuses import ACTIVE_JOB_STATUSES

logger = logging.getLogger(__name__)

TICK_SECONDS = 3.0  # rights of open sockets, when nothing happens
RIGHTS_AGAIN_SECONDS = 1.0  # after a message, rights are looked at this soon
POLL_SECONDS = 6.0  # lost pushes
REJOIN_SECONDS = 1_800.0  # layers forget members of a group after a day
JOIN_SECONDS = 3.0  # a layer that does not answer keeps nobody waiting longer than this
QUEUE_LIMIT = 100  # messages a slow browser may be behind before it is resynchronised
TOTALS = ("running", "waiting", "pending")
Stamp = tuple[int, int, int]
NO_JOBS: Stamp = (0, 0, 0)


def dumps(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def now_ms() -> int:
    return round(time.time() * 1000)


class Subscriber:
    """One socket as the hub sees it: a bounded queue, and what its rights hang on."""

    def __init__(
        self,
        *,
        user_id: int,
        session_key: str,
        password: str,
        team_ids: frozenset[int],
        token_id: int | None = None,
    ):
        self.token_id = token_id  # a program's: then the token alone counts
        self.user_id = user_id
        self.session_key = session_key
        self.password = password
        self.team_ids = team_ids
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_LIMIT)
        self.is_behind = False
        self.is_closed = asyncio.Event()
        self.close_code = rights.SIGNED_OUT

    def offer(self, text: str) -> None:
        """Queue a message; a browser too slow for its queue is given a new snapshot instead."""
        if self.is_behind:
            return
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:
            self.renew()

    def renew(self) -> None:
        """The next thing told is a snapshot."""
        if self.is_behind:
            return
        self.forget()
        self.is_behind = True
        self.queue.put_nowait("")  # wakes the writer, which asks for a snapshot

    def forget(self) -> None:
        """What is queued is older than the snapshot that is about to be sent."""
        self.is_behind = False
        while not self.queue.empty():
            self.queue.get_nowait()

    def close(self, code: int) -> None:
        """Tell nothing more, and end the socket with this code."""
        self.close_code = code
        self.is_behind = True
        self.is_closed.set()


class Feed:
    """One team: its active jobs by id, their counts, and its subscribers."""

    def __init__(self, team_id: int):
        self.team_id = team_id
        self.jobs: dict[int, dict[str, Any]] = {}
        self.versions: dict[int, int] = {}
        self.totals = dict.fromkeys(TOTALS, 0)
        self.by_project: Counter[int] = Counter()
        self.stamp = NO_JOBS
        self.subscribers: set[Subscriber] = set()
        self.loaded: asyncio.Future[None] | None = None

    def take(self, job: dict[str, Any]) -> bool:
        """Put in what is newer than what is held; tells whether anything changed."""
        held = self.versions.get(job["id"], -1)
        known = self.jobs.get(job["id"])
        is_active = job["status"] in ACTIVE_JOB_STATUSES
        if job["v"] < held or (job["v"] == held and known == (job if is_active else None)):
            return False
        self.versions[job["id"]] = job["v"]
        self.drop(job["id"])
        if is_active:
            self.jobs[job["id"]] = job
            self._count(job, 1)
        if len(self.versions) > len(self.jobs) + 5_000:
            self.versions = {k: self.versions[k] for k in self.jobs}
        return True

    def drop(self, job_id: int) -> None:
        if job := self.jobs.pop(job_id, None):
            self._count(job, -1)

    def _count(self, job: dict[str, Any], by: int) -> None:
        self.totals[job["status"]] += by
        self.by_project[job["project_id"]] += by
        count, ids, versions = self.stamp
        self.stamp = (count + by, ids + by * job["id"], versions + by * job["v"])

    def broadcast(self, job: dict[str, Any]) -> None:
        text = dumps(
            {"type": "job", "now": now_ms(), "job": job, "totals": self.totals,
             "in_project": self.by_project[job["project_id"]]}
        )  # fmt: skip
        for subscriber in self.subscribers:
            subscriber.offer(text)


class Hub:
    def __init__(self) -> None:
        self.feeds: dict[int, Feed] = {}
        self.layer = get_channel_layer()
        self.channel = ""
        self.is_rights_due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def subscribe(self, subscriber: Subscriber) -> None:
        """Begin to tell a socket of its teams; a team's first socket loads its feed."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._receive()),
                asyncio.create_task(self._tick()),
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
        jobs = sorted(
            (job for feed in feeds for job in feed.jobs.values()),
            key=lambda j: (j["project"], j["project_id"], _rank(j), j["id"]),
        )
        return dumps(
            {
                "type": "snapshot",
                "now": now_ms(),
                "jobs": _shown(jobs),
                "totals": {str(feed.team_id): feed.totals for feed in feeds},
                "in_project": {
                    str(project_id): count
                    for feed in feeds
                    for project_id, count in feed.by_project.items()
                    if count
                },
            }
        )

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
            feed.broadcast(job)
            self.is_rights_due.set()

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
        found = {job["id"]: job for job in await _load_active(differs)}
        feeds = [self.feeds[t] for t in differs if t in self.feeds]
        gone = [job_id for feed in feeds for job_id in feed.jobs if job_id not in found]
        ended = await _load_ids(gone) if gone else []
        for job in [*found.values(), *ended]:
            self._take(job)
        for job_id in set(gone) - {job["id"] for job in ended}:
            for feed in feeds:  # a job whose row is gone, with its project say
                if job_id in feed.jobs:
                    feed.drop(job_id)
                    for subscriber in feed.subscribers:
                        subscriber.renew()
        try:
            await asyncio.gather(*(self._join(feed.team_id) for feed in feeds))
        except Exception as error:  # noqa: BLE001 - any layer's own error; the next poll tries again
            logger.warning("The channel layer did not answer: %s", error)

    async def check_rights(self) -> None:
        """Close every socket whose session, account or membership no longer holds."""
        subscribers = {s for feed in self.feeds.values() for s in feed.subscribers}
        if not subscribers:
            return
        for subscriber, code in await rights.lost(subscribers):
            subscriber.close(code)


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
    return facts.load(Job.objects.active().filter(team_id__in=list(team_ids)))


@database_sync_to_async
def _load_ids(job_ids: Iterable[int]) -> list[dict[str, Any]]:
    return facts.load(Job.objects.filter(pk__in=list(job_ids)))


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
