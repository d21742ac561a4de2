"""The socket: who may open it, what it tells first, what it tells afterwards, when it ends."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from accounts.models import Membership, Team, User
from accounts.permissions import SYSTEM
from jobs.execution.dispatch import pause_project, resume_project
from jobs.live import facts
from jobs.live import hub as hub_module
from jobs.live.hub import hub
from jobs.live.push import group_name, send, send_teams
from jobs.models import Job, JobEvent
from tests.jobs.live_sockets import make_job, opened, push, socket_for, told

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch):
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 0.1)
    hub_module._hubs.clear()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
async def test_a_foreign_origin_is_refused(viewer, origin):
    """W01."""
    socket = await sync_to_async(socket_for)(viewer, origin)
    is_open, _ = await socket.connect(timeout=3)
    assert not is_open


async def test_a_signed_out_page_gets_no_socket(db):
    socket = socket_for(None)
    await socket.connect(timeout=3)
    closed = await socket.receive_output(3)  # the first thing it hears
    assert (closed["type"], closed["code"]) == ("websocket.close", 4401)


async def test_a_snapshot_comes_first_then_deltas_of_the_own_team_alone(
    viewer, outsider, project, other_project
):
    """S9, X1."""
    mine = await sync_to_async(make_job)(project)
    theirs = await sync_to_async(make_job)(other_project)
    socket, snapshot = await opened(viewer)
    foreign, foreign_snapshot = await opened(outsider)
    assert [job["id"] for job in snapshot["jobs"]] == [mine.pk]
    assert [job["id"] for job in foreign_snapshot["jobs"]] == [theirs.pk]
    assert snapshot["totals"] == {str(project.team_id): {"running": 1, "waiting": 0, "pending": 0}}

    await push(mine, status="completed", event_count=1)
    delta = await told(socket)
    assert (delta["job"]["id"], delta["job"]["status"]) == (mine.pk, "completed")
    assert delta["totals"]["running"] == 0
    assert await foreign.receive_nothing(0.3)
    await socket.disconnect()
    await foreign.disconnect()


async def test_what_is_older_than_what_was_told_is_dropped(viewer, project):
    job = await sync_to_async(make_job)(project, event_count=5)
    old = (await sync_to_async(facts.load)(Job.objects.filter(pk=job.pk)))[0]
    socket, _ = await opened(viewer)
    await push(job, status="waiting", event_count=6)
    assert (await told(socket))["job"]["status"] == "waiting"
    await send([old])
    assert await socket.receive_nothing(0.3)
    await socket.disconnect()


async def test_a_lost_push_is_mended_by_the_safety_poll(viewer, project):
    """W06."""
    job = await sync_to_async(make_job)(project)
    socket, _ = await opened(viewer)
    await Job.objects.filter(pk=job.pk).aupdate(
        status="failed", event_count=1, error_type="unknown"
    )
    delta = await told(socket)
    assert delta["job"]["status"] == "failed"
    assert delta["job"]["what_to_do"]
    await socket.disconnect()


async def test_a_lost_membership_of_the_group_is_made_good_with_the_first_lost_push(
    viewer, project, monkeypatch
):
    """The layer was emptied under the hub: one change comes by the poll, the next by itself."""
    job = await sync_to_async(make_job)(project)
    socket, _ = await opened(viewer)
    join, joined = hub()._join, asyncio.Event()

    async def join_and_say(team_id: int) -> None:
        await join(team_id)
        joined.set()

    monkeypatch.setattr(hub(), "_join", join_and_say)
    await hub().layer.group_discard(group_name(project.team_id), hub().channel)
    await push(job, status="waiting", event_count=1)
    assert (await told(socket))["job"]["status"] == "waiting"
    await asyncio.wait_for(joined.wait(), 10)
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 60)
    await push(job, status="running", event_count=2)
    assert (await told(socket))["job"]["status"] == "running"
    await socket.disconnect()


async def test_a_layer_that_does_not_answer_keeps_no_page_waiting(viewer, project, monkeypatch):
    async def never(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(hub_module, "JOIN_SECONDS", 0.1)
    job = await sync_to_async(make_job)(project)
    layer = get_channel_layer()
    monkeypatch.setattr(layer, "group_add", never)
    socket, snapshot = await opened(viewer)
    assert [one["id"] for one in snapshot["jobs"]] == [job.pk]
    await push(job, status="waiting", event_count=1)
    assert (await told(socket))["job"]["status"] == "waiting"
    await socket.disconnect()


async def test_a_job_whose_row_is_gone_leaves_every_page(viewer, project):
    kept, gone = [await sync_to_async(make_job)(project) for _ in range(2)]
    socket, snapshot = await opened(viewer)
    assert len(snapshot["jobs"]) == 2
    await Job.objects.filter(pk=gone.pk).adelete()
    snapshot = await told(socket)
    assert [one["id"] for one in snapshot["jobs"]] == [kept.pk]
    await socket.disconnect()


async def test_progress_between_events_counts_as_newer(viewer, project):
    job = await sync_to_async(make_job)(project, kind="spinner", total_count=10)
    socket, _ = await opened(viewer)
    await push(job, done_count=4)
    assert (await told(socket))["job"]["finished"] == 4
    await socket.disconnect()


def _log_out(user: User) -> None:
    from django.contrib.sessions.models import Session

    Session.objects.all().delete()


def _disable(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def _new_password(user: User) -> None:
    user.set_password("another-long-phrase")
    user.save()


def _leave_team(user: User) -> None:
    Membership.objects.filter(user=user).delete()


@pytest.mark.parametrize(
    ("lose", "code"),
    [(_log_out, 4401), (_disable, 4401), (_new_password, 4401), (_leave_team, 4403)],
)
async def test_a_lost_right_closes_the_socket(viewer, project, lose, code):
    """X2, W03."""
    socket, _ = await opened(viewer)
    await sync_to_async(lose)(viewer)
    closed = await socket.receive_output(3)
    assert (closed["type"], closed["code"]) == ("websocket.close", code)
    await socket.disconnect()


@pytest.mark.parametrize("text", ["x" * 2_000, None])
async def test_too_much_closes_the_socket(viewer, project, text):
    """W02."""
    socket, _ = await opened(viewer)
    if text:
        await socket.send_to(text_data=text)
    else:
        for _ in range(125):
            await socket.send_to(text_data='{"type":"nothing"}')
    closed = await socket.receive_output(3)
    assert (closed["type"], closed["code"]) == ("websocket.close", 4408)
    await socket.disconnect()


async def test_a_user_of_two_teams_hears_of_both(viewer, project, other_project, other_team: Team):
    await sync_to_async(Membership.objects.create)(team=other_team, user=viewer, role="viewer")
    here = await sync_to_async(make_job)(project)
    there = await sync_to_async(make_job)(other_project, status="pending")
    socket, snapshot = await opened(viewer)
    assert {job["id"] for job in snapshot["jobs"]} == {here.pk, there.pk}
    await push(there, status="running", event_count=1)
    assert (await told(socket))["job"]["id"] == there.pk
    await socket.disconnect()


async def test_over_fifty_jobs_fifty_are_told_and_all_are_counted(viewer, project):
    """S11."""
    for number in range(53):
        await sync_to_async(make_job)(project, status="running" if number > 40 else "pending")
    socket, snapshot = await opened(viewer)
    assert len(snapshot["jobs"]) == 50
    assert sum(job["status"] == "running" for job in snapshot["jobs"]) == 12
    assert snapshot["totals"][str(project.team_id)]["pending"] == 41
    await socket.disconnect()
    await asyncio.sleep(0)


async def test_a_pause_reaches_every_job_in_one_message(viewer, project, monkeypatch):
    """G6: however many are active; those beyond the first fifty a page sees when it shows them."""
    monkeypatch.setattr(hub_module, "POLL_SECONDS", 60)
    rows = [Job(team_id=project.team_id, project=project, kind="spinner", label="Renewal",
                name="renewal", status="running", total_count=1) for _ in range(250)]  # fmt: skip
    await Job.objects.abulk_create(rows)
    sent: list[int] = []
    monkeypatch.setattr("jobs.live.push.push_team", sent.append)
    monkeypatch.setattr("jobs.live.push.push_job", lambda job_id: sent.append(-job_id))
    socket, before = await opened(viewer)
    assert not any(job["paused"] for job in before["jobs"])

    await sync_to_async(pause_project)(project, SYSTEM, reason="Lunch")
    assert sent == [project.team_id]
    assert await JobEvent.objects.filter(message__endswith=": Lunch.").acount() == 250
    await send_teams(sent)
    paused = await told(socket)
    assert (paused["type"], len(paused["jobs"])) == ("snapshot", 50)
    assert all(job["paused"] for job in paused["jobs"])
    assert all(job["paused"] for job in hub().feeds[project.team_id].jobs.values())

    await sync_to_async(resume_project)(project, SYSTEM)
    await send_teams(sent[1:])
    resumed = await told(socket)
    assert not any(job["paused"] for job in resumed["jobs"])
    assert await socket.receive_nothing(0.2)
    await socket.disconnect()


async def test_many_lost_pushes_are_mended_by_one_snapshot(viewer, project, monkeypatch):
    """W06: a message each would be more than a browser takes."""
    monkeypatch.setattr(hub_module, "MOST_TOLD_SINGLY", 5)
    for _ in range(6):
        await sync_to_async(make_job)(project)
    socket, _ = await opened(viewer)
    await Job.objects.aupdate(status="waiting", event_count=1)
    snapshot = await told(socket)
    assert (snapshot["type"], {job["status"] for job in snapshot["jobs"]}) == (
        "snapshot", {"waiting"},
    )  # fmt: skip
    await socket.disconnect()
