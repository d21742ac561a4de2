"""Many sockets: what comes together, who is slow, and what a connect costs."""

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator

from accounts.models import User
from config.frames import EXTENSION
from jobs.live import consumers, rights
from jobs.live import feed as feed_module
from jobs.live import hub as hub_module
from jobs.live.feed import Subscriber
from jobs.live.hub import hub
from jobs.models import Job
from tests.jobs.live_sockets import make_job, opened, socket_for, told

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch):
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 0.1)
    hub_module._hubs.clear()


async def test_a_slow_browser_is_given_a_snapshot_instead_of_a_queue(viewer, project, monkeypatch):
    monkeypatch.setattr(feed_module, "QUEUE_LIMIT", 3)
    jobs = [await sync_to_async(make_job)(project, kind="spinner") for _ in range(10)]
    socket, _ = await opened(viewer)
    feed = hub().feeds[project.team_id]
    for job in jobs:  # no await between: the writer cannot keep up
        hub()._take({**feed.jobs[job.pk], "finished": 9, "v": 100})
    messages = [await told(socket)]
    while not await socket.receive_nothing(0.05, 0.01):
        messages.append(await told(socket))
    assert messages[-1]["type"] == "snapshot"
    assert [job["finished"] for job in messages[-1]["jobs"]] == [9] * 10
    assert len(messages) < 6
    await socket.disconnect()


async def test_a_job_that_changes_again_before_it_is_told_is_told_once(viewer, project):
    busy, other = [await sync_to_async(make_job)(project, kind="spinner") for _ in range(2)]
    socket, _ = await opened(viewer)
    feed = hub().feeds[project.team_id]
    for number, job in enumerate([busy, other, busy]):
        hub()._take({**feed.jobs[job.pk], "finished": number, "v": 100 + number})
    frame = json.loads(await socket.receive_from(3))
    assert [(m["job"]["id"], m["job"]["finished"]) for m in frame] == [(other.pk, 1), (busy.pk, 2)]
    await socket.disconnect()


class Writer:
    """A server's direct way to a socket, which can be full."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.is_idle = True

    def write(self, frame: bytes) -> bool:
        if self.is_idle:
            self.frames.append(frame)
        return self.is_idle

    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for frame in self.frames:
            text = json.loads(frame[{126: 4, 127: 10}.get(frame[1], 2) :])
            found += text if isinstance(text, list) else [text]
        return found

    def told(self) -> list[int]:
        return [words["job"]["finished"] for words in self.messages() if words["type"] == "job"]

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.messages()) < count:  # noqa: ASYNC110 - it is the server's side
                await asyncio.sleep(0.005)


async def opened_directly(user: User) -> tuple[WebsocketCommunicator, Writer]:
    socket, writer = await sync_to_async(socket_for)(user), Writer()
    socket.scope["extensions"] = {EXTENSION: writer}
    await socket.connect(timeout=3)
    await writer.wait_for(1)
    assert writer.messages()[0]["type"] == "snapshot"
    return socket, writer


async def change(job: Job, finished: int) -> None:
    facts_now = hub().feeds[job.team_id].jobs[job.pk]
    hub()._take({**facts_now, "finished": finished, "v": 100 + finished})
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_full_socket_is_told_later_and_in_order_and_delays_nobody(
    viewer, operator, project, monkeypatch
):
    """W04."""
    monkeypatch.setattr(consumers, "DRAIN_SECONDS", 0.01)
    job = await sync_to_async(make_job)(project, kind="spinner")
    slow, slow_writer = await opened_directly(viewer)
    quick, quick_writer = await opened_directly(operator)
    slow_writer.is_idle = False
    await change(job, 1)
    assert (quick_writer.told(), slow_writer.told()) == ([1], [])
    slow_writer.is_idle = True
    await change(job, 2)  # not before what waits
    assert slow_writer.told() == []
    await slow_writer.wait_for(3)
    await change(job, 3)
    assert (quick_writer.told(), slow_writer.told()) == ([1, 2, 3], [1, 2, 3])
    assert len(slow_writer.frames) == 3, "what had waited came together"
    await slow.disconnect()
    await quick.disconnect()


async def test_a_browser_that_does_not_answer_is_told_no_more_and_then_all_at_once(
    viewer, project, monkeypatch
):
    monkeypatch.setattr(consumers, "WINDOW", 2)
    monkeypatch.setattr(feed_module, "QUEUE_LIMIT", 3)
    job = await sync_to_async(make_job)(project, kind="spinner")
    socket, writer = await opened_directly(viewer)
    for finished in range(1, 9):
        await change(job, finished)
    assert writer.told() == [1, 2]
    assert await socket.receive_nothing(0.05, 0.01)
    await socket.send_to(text_data='{"type":"ping"}')
    await writer.wait_for(5)
    pong, snapshot = writer.messages()[3:]
    assert pong["type"] == "pong"
    assert (snapshot["type"], snapshot["jobs"][0]["finished"]) == ("snapshot", 8)
    await change(job, 9)
    assert writer.told() == [1, 2, 9]
    await socket.disconnect()


async def test_what_has_queued_up_goes_in_one_frame(viewer, project):
    jobs = [await sync_to_async(make_job)(project) for _ in range(5)]
    socket, _ = await opened(viewer)
    feed = hub().feeds[project.team_id]
    for job in jobs:
        hub()._take({**feed.jobs[job.pk], "finished": 1, "v": 100})
    frame = json.loads(await socket.receive_from(3))
    assert [message["job"]["id"] for message in frame] == [job.pk for job in jobs]
    await socket.disconnect()


async def test_connecting_costs_three_queries_once_a_team_is_known(
    viewer, operator, project, django_assert_max_num_queries
):
    first, _ = await opened(viewer)
    socket = await sync_to_async(socket_for)(operator)
    key = dict(socket.scope["headers"])[b"cookie"].decode().partition("=")[2]

    def count() -> None:
        with django_assert_max_num_queries(3):
            assert key in rights.holders_of.func([key, "nobody's"])

    await sync_to_async(count)()
    loads = []
    original = hub_module._load_active
    hub_module._load_active = lambda ids: loads.append(ids) or original(ids)
    try:
        await hub().subscribe(
            Subscriber(
                user_id=operator.pk,
                session_key=key,
                password="",
                team_ids=frozenset([project.team_id]),
            )
        )
    finally:
        hub_module._load_active = original
    assert loads in ([], [[project.team_id]])  # the tick's own poll may fall between
    await first.disconnect()


async def test_pages_that_come_together_are_looked_up_together(
    viewer, operator, project, monkeypatch
):
    asked: list[list[str]] = []
    look = rights.holders_of

    async def look_and_note(keys: list[str]) -> dict[str, rights.Holder]:
        asked.append(keys)
        return await look(keys)

    monkeypatch.setattr(rights, "holders_of", look_and_note)
    users = [viewer, operator, None, viewer, operator]
    sockets = [await sync_to_async(socket_for)(user) for user in users]
    await asyncio.gather(*(socket.connect(timeout=3) for socket in sockets))
    said = [await socket.receive_output(3) for socket in sockets]
    assert [words["type"] for words in said].count("websocket.close") == 1
    assert said[2]["code"] == 4401
    assert sum(map(len, asked)) == 4
    assert len(asked) <= 2
    for socket in sockets:
        await socket.disconnect()


async def test_a_database_that_is_away_sends_pages_off_to_come_again(viewer, monkeypatch):
    async def away(keys: list[str]) -> dict[str, rights.Holder]:
        raise OSError(f"{len(keys)} asked")

    monkeypatch.setattr(rights, "holders_of", away)
    socket = await sync_to_async(socket_for)(viewer)
    await socket.connect(timeout=3)
    assert (await socket.receive_output(3))["code"] == 1013
    await socket.disconnect()
