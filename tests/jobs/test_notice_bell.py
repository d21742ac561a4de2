"""The bell of an open page: it rises for those who are told, and for nobody else."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from jobs.live import bell as bell_module
from jobs.live import hub as hub_module
from jobs.live.hub import hub
from jobs.models import Job, Notice
from tests.jobs.live_sockets import make_job, opened, push

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(bell_module, "PATIENCE_SECONDS", 0.01)
    hub_module._hubs.clear()


@pytest.fixture
def job(project):
    return make_job(project)


@pytest.fixture
def looked(monkeypatch):
    """Set when unread notices have been counted."""
    counts, event = bell_module._counts, asyncio.Event()

    async def count_and_say(ended: set[int], asked: set[int]) -> dict[int, int]:
        found = await counts(ended, asked)
        event.set()
        return found

    monkeypatch.setattr(bell_module, "_counts", count_and_say)
    return event


@sync_to_async
def tell(job: Job, *users) -> None:
    """What the transaction that ends the job writes for them."""
    for user in users:
        Notice.objects.create(job=job, user=user, team_id=job.team_id, status="completed")


async def unread(socket, seconds: float = 3) -> int:
    """The next number that a socket is told, past what it hears of jobs."""
    while True:
        message = json.loads(await socket.receive_from(seconds))
        for one in message if isinstance(message, list) else [message]:
            if one["type"] == "notices":
                return int(one["unread"])


async def test_only_the_sockets_of_who_is_told_hear_of_it(viewer, operator, job):
    """X1, X6: no message holds who else was told."""
    mine, snapshot = await opened(operator)
    others, _ = await opened(viewer)
    assert snapshot["unread"] == 0
    await tell(job, operator)
    await push(job, status="completed", event_count=1)
    assert await unread(mine) == 1
    heard = json.loads(await others.receive_from(3))
    assert heard["type"] == "job"
    assert "user" not in json.dumps(heard)
    assert await others.receive_nothing(0.3)
    await mine.disconnect()
    await others.disconnect()


async def test_an_end_told_twice_rings_once(operator, job):
    """X6."""
    socket, _ = await opened(operator)
    await tell(job, operator)
    await push(job, status="completed", event_count=1)
    assert await unread(socket) == 1
    await push(job, event_count=2)
    heard = ""
    while not await socket.receive_nothing(0.3):
        heard += await socket.receive_from(3)
    assert '"type":"job"' in heard
    assert '"type":"notices"' not in heard
    await socket.disconnect()


async def test_a_lost_push_is_mended_with_the_jobs_own(operator, job, monkeypatch):
    """X6, W06."""
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 0.1)
    socket, _ = await opened(operator)
    await tell(job, operator)
    await Job.objects.filter(pk=job.pk).aupdate(status="completed", event_count=1)
    assert await unread(socket) == 1
    await socket.disconnect()


async def test_a_page_that_comes_back_is_told_first(operator, job):
    await tell(job, operator)
    socket, snapshot = await opened(operator)
    assert snapshot["unread"] == 1
    await socket.disconnect()


async def test_what_was_read_elsewhere_falls_when_the_page_is_looked_at_again(
    operator, job, looked
):
    await tell(job, operator)
    socket, _ = await opened(operator)
    await looked.wait()  # after the opening
    await Notice.objects.aupdate(read_at=timezone.now())
    await socket.send_to(text_data='{"type":"resync"}')
    assert await unread(socket) == 0
    await socket.send_to(text_data='{"type":"resync"}')
    assert json.loads(await socket.receive_from(3))["unread"] == 0
    await socket.disconnect()


async def test_a_notice_between_the_look_and_the_subscription_is_not_lost(
    operator, job, monkeypatch
):
    subscribe = hub().subscribe

    async def late(subscriber) -> None:
        await tell(job, operator)
        await subscribe(subscriber)

    monkeypatch.setattr(hub(), "subscribe", late)
    socket, snapshot = await opened(operator)
    assert snapshot["unread"] == 0
    assert await unread(socket) == 1
    await socket.disconnect()


async def test_a_database_that_is_away_is_asked_again(operator, job, looked, monkeypatch):
    monkeypatch.setattr(bell_module, "AGAIN_SECONDS", 0.01)
    socket, _ = await opened(operator)
    await looked.wait()
    counts, tries = bell_module._counts, []

    async def fails_once(ended: set[int], asked: set[int]) -> dict[int, int]:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("away")
        return await counts(ended, asked)

    monkeypatch.setattr(bell_module, "_counts", fails_once)
    await tell(job, operator)
    await push(job, status="completed", event_count=1)
    assert await unread(socket) == 1
    assert len(tries) == 2
    await socket.disconnect()
