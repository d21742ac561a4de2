"""What one web process knows of a team, and whom of it tells."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from config.frames import text_frame
from jobs.live import rights
from jobs.statuses import ACTIVE_JOB_STATUSES

QUEUE_LIMIT = 100  # messages a slow browser may be behind before it is resynchronised
MESSAGES_A_FRAME = 50
TOTALS = ("running", "waiting", "pending")
Stamp = tuple[int, int, int]
NO_JOBS: Stamp = (0, 0, 0)
_numbers = itertools.count(1)


def dumps(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def now_ms() -> int:
    return round(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a team's sockets are told together: several texts, one frame."""

    number: int
    texts: list[str]
    frame: bytes


class Subscriber:
    """One socket as the hub sees it: a bounded queue, and what its rights hang on."""

    # Takes a frame past the queue; False when it cannot now. Only while nothing is queued.
    write: Callable[[bytes], bool] | None = None
    _seen = 0  # batches up to this one are in the snapshot it has

    def __init__(
        self,
        *,
        user_id: int,
        session_key: str,
        password: str,
        team_ids: frozenset[int],
        token_id: int | None = None,
        unread: int | None = None,
    ):
        self.unread = unread  # notices, as its page knows; None: it has no bell
        self.token_id = token_id  # a program's: then the token alone counts
        self.user_id = user_id
        self.session_key = session_key
        self.password = password
        self.team_ids = team_ids
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_LIMIT)
        self.is_behind = False
        self.is_closed = asyncio.Event()
        self.close_code = rights.SIGNED_OUT

    def tell(self, batch: Batch) -> None:
        if self.is_behind or batch.number <= self._seen:
            return
        if self.write is not None and self.queue.empty() and self.write(batch.frame):
            return
        for text in batch.texts:
            self.offer(text)

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
        self._seen = next(_numbers)
        self.is_behind = self.is_closed.is_set()
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
        self.changes = 0
        self.subscribers: set[Subscriber] = set()
        self.loaded: asyncio.Future[None] | None = None
        self._untold: dict[int, dict[str, Any]] = {}

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
        self.changes += 1
        if len(self.versions) > len(self.jobs) + 5_000:
            self.versions = {k: self.versions[k] for k in self.jobs}
        return True

    def drop(self, job_id: int) -> None:
        if job := self.jobs.pop(job_id, None):
            self._count(job, -1)
            self.changes += 1

    def _count(self, job: dict[str, Any], by: int) -> None:
        self.totals[job["status"]] += by
        self.by_project[job["project_id"]] += by
        count, ids, versions = self.stamp
        self.stamp = (count + by, ids + by * job["id"], versions + by * job["v"])

    def hold(self, job: dict[str, Any]) -> None:
        """To be told with the next batch; a job that is untold yet is told once, last."""
        self._untold.pop(job["id"], None)
        self._untold[job["id"]] = job

    def batch(self) -> Batch | None:
        """The next messages, serialised once for all sockets; the totals are those of now."""
        if not self._untold:
            return None
        job_ids = list(self._untold)[:MESSAGES_A_FRAME]
        texts = [self._message(self._untold.pop(job_id)) for job_id in job_ids]
        return Batch(next(_numbers), texts, text_frame(together(texts)))

    def _message(self, job: dict[str, Any]) -> str:
        return dumps(
            {"type": "job", "now": now_ms(), "job": job, "totals": self.totals,
             "in_project": self.by_project[job["project_id"]]}
        )  # fmt: skip


def together(texts: list[str]) -> str:
    """Whatever goes at the same time goes in one frame, a list: a frame costs more than its bytes."""
    return texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"
