"""The indicators and the stream of runs, in real browsers on real processes."""

import contextlib
import json
import random
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts import tokens
from accounts.models import ApiToken, Membership, Team, User
from accounts.permissions import Actor
from jobs import reporting
from jobs.execution import dispatch
from jobs.execution.selection import Selection
from jobs.live import push
from jobs.models import Job, JobType, Record
from projects.models import Contact, Pipeline, Project
from tests.browser.tabs import Tab, change, ended, make_job
from tests.processes.portal import Portal, wait_until
from tests.tracked_app.tasks import export_slowly

pytestmark = pytest.mark.browser
GATED = [
    {"name": "ask", "kind": "wait", "config": {"for": "approval", "prompt": "Go on?"}},
    {"name": "done", "kind": "outcome", "config": {"outcome": "sent"}},
]


def test_each_sees_the_jobs_of_their_own_teams_and_not_a_count_more(
    tab: Callable[[User], Tab],
    viewer: User,
    operator: User,
    outsider: User,
    other_team: Team,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """S1, S5, S6, X1, X9: start, wait, fail, cancel, finish; the other team hears nothing."""
    Membership.objects.create(team=other_team, user=operator, role="viewer")
    began = time.monotonic()
    mine, both, theirs = tab(viewer), tab(operator), tab(outsider)
    for one in (mine, both):
        one.says("No active jobs")
        one.open()
    make_contacts(1)
    spinner = make_spinner(steps=GATED)
    actor = Actor(user=operator)
    runs = [
        dispatch.dispatch_spinner(spinner, actor, selection=Selection(kind="all")) for _ in range(2)
    ]
    for one in (mine, both):  # done by the worker, told by the worker
        one.says("2 jobs waiting")
        expect(one.row(runs[0])).to_contain_text("Waiting")
    dispatch.approve(wait_until(lambda: Record.objects.filter(job=runs[0]).first()), actor)
    ended(runs[0], "Completed", mine, both)
    dispatch.cancel(runs[1], actor)
    ended(runs[1], "Cancelled", mine, both)
    build, _ = reporting.report(project, actor, kind="build", status="running")
    reporting.tell(build, actor, status="failed", error_type="compilation_failure")
    ended(build, "Read the error, refine the task", mine, both)
    mine.says("No active jobs")
    expect(mine.row(build)).to_have_count(0)  # it lingers for some seconds, then leaves
    assert not theirs.requests, "an idle page asks for nothing"
    assert [frame["type"] for frame in theirs.heard if frame["type"] != "pong"] == ["snapshot"]
    assert set(theirs.heard[0]["totals"]) == {str(other_team.pk)}
    assert len(theirs.sent) <= (time.monotonic() - began) / 5 + 1


def test_a_lost_web_process_is_said_and_made_good(
    tab: Callable[[User], Tab], viewer: User, project: Project, portal: Portal
) -> None:
    """S7, S8, S9."""
    jobs = [make_job(project) for _ in range(3)]
    mine = tab(viewer)
    mine.says("3 jobs running")
    mine.open()
    portal.kill("web")
    mine.is_live("disconnected")
    expect(mine.page.locator("[data-not-live]")).to_have_text(re.compile(r"not live since \d\d:"))
    assert "last update" in (mine.page.locator("[data-health]").get_attribute("title") or "")
    stands = mine.row(jobs[0]).locator(".time").inner_text()
    change(jobs[0], status="completed", completed_at=timezone.now())
    change(jobs[1], status="waiting")
    new = make_job(project)
    portal.start()
    mine.is_live()
    mine.says("2 jobs running")
    assert mine.page.locator("[data-panel] [data-job]").count() == 3
    expect(mine.row(new)).to_be_visible()
    expect(mine.row(jobs[2]).locator(".time")).not_to_have_text(stands)
    expect(mine.page.locator("[data-not-live]")).to_be_hidden()


def test_a_watched_web_process_ends_soon_after_it_is_told(
    tab: Callable[[User], Tab], viewer: User, portal: Portal
) -> None:
    """With sockets open, and without the launcher having to kill it (after 8 seconds)."""
    mine = tab(viewer)
    web = portal.running.pop("web")
    web.terminate()
    assert web.wait(7) == 0
    portal.start()
    mine.is_live()


def test_thirty_percent_of_the_pushes_are_lost(
    tab: Callable[[User], Tab], viewer: User, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W06: within one safety poll the indicator equals the database."""
    jobs = [make_job(project, status="pending", started_at=None) for _ in range(20)]
    mine = tab(viewer)
    mine.says("20 jobs pending")
    dice, plain = random.Random(7), push.send

    async def lossy(facts: list[dict[str, object]]) -> None:
        await plain([job for job in facts if dice.random() > 0.3])

    monkeypatch.setattr(push, "send", lossy)
    for job in jobs[:13]:
        change(job, status="running", started_at=timezone.now())
    for job in jobs[:4]:
        change(job, status="completed", completed_at=timezone.now())
    mine.says("9 jobs running", ms=12_000)
    expect(mine.page.locator("[data-queued]")).to_have_text("7 more queued")


def test_the_panel_by_keyboard_under_a_wrong_clock(
    page_as: Callable[..., Page], viewer: User, project: Project, team: Team
) -> None:
    """S3, S4, S10, S12."""
    other = Project.objects.create(team=team, name="Autumn", slug=f"autumn-{team.pk}")
    coding = JobType.objects.get(slug="developing-task")
    long = timezone.now() - timedelta(hours=1, seconds=5)
    task = make_job(project, label="Developing Task", job_type=coding, started_at=long)
    make_job(other, status="pending", started_at=None)
    page = page_as(viewer)
    page.clock.install(time=datetime(2020, 1, 1))  # noqa: DTZ001 -- the browser's wrong clock
    one = Tab(page)
    page.locator(".active-jobs > summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-panel]")).to_be_focused()
    names = page.locator("[data-panel] section").evaluate_all("all => all.map(s => s.ariaLabel)")
    assert names == ["Autumn", project.name]
    row = one.row(task)
    expect(row).to_contain_text(f"#{task.workflow_execution_id.hex[:8]}")
    expect(row.locator(".pill")).to_have_text("STALLED?")
    expect(page.locator("[data-stalled]")).to_be_visible()
    expect(row.locator(".time")).to_have_text(re.compile(r"^1:00:\d\d$"))
    before = row.locator(".time").inner_text()
    page.clock.run_for(1_500)
    expect(row.locator(".time")).not_to_have_text(before)
    page.keyboard.press("Escape")
    expect(page.locator("[data-panel]")).to_be_hidden()
    expect(page.locator(".active-jobs > summary")).to_be_focused()


def test_the_chip_says_what_is_happening(
    tab: Callable[[User], Tab], operator: User, project: Project
) -> None:
    """SPEC section 4: the table of labels, latest first, "+N"."""
    actor = Actor(user=operator)
    mine = tab(operator)
    chip = mine.page.locator("[data-active-action]")
    expect(chip).to_contain_text("Idle")
    build, _ = reporting.report(project, actor, kind="build")
    expect(chip).to_contain_text("Build queued…")
    reporting.tell(build, actor, status="running")
    expect(chip).to_contain_text(f"Building ({project.name})")
    run, _ = reporting.report(project, actor, kind="run")
    expect(chip).to_contain_text("Starting server… +1")
    reporting.tell(run, actor, status="running")
    expect(chip).to_contain_text(f"Server running ({project.name}) +1")
    mine.page.reload()  # it survives navigation: the page has it before any socket
    expect(chip).to_contain_text(f"Server running ({project.name}) +1")
    dispatch.cancel(run, actor)
    expect(chip).to_contain_text("Stopping server…")
    reporting.tell(run, actor, status="done")
    expect(chip).to_contain_text(f"Building ({project.name})")
    reporting.tell(build, actor, status="done")
    expect(chip).to_contain_text("Idle")


def test_a_task_of_the_teams_own_is_seen_counted_and_cancelled(
    tab: Callable[[User], Tab], operator: User, project: Project
) -> None:
    mine = tab(operator)
    mine.open()
    job = export_slowly.delay_in(project, actor=Actor(user=operator), count=600)
    mine.says("1 job running")
    expect(mine.row(job)).to_contain_text(re.compile(r"Slow export.* of 600", re.S))
    dispatch.cancel(job, Actor(user=operator))
    expect(mine.row(job)).to_contain_text("Cancelled")
    job.refresh_from_db()
    assert job.done_count + job.cancelled_count == 600


def test_signing_out_ends_the_socket_of_other_tabs(
    tab: Callable[[User], Tab], viewer: User
) -> None:
    """W03: and they do not ask again."""
    mine = tab(viewer)
    mine.page.context.request.get("/")  # the session is in use
    from django.contrib.sessions.models import Session

    Session.objects.all().delete()
    mine.is_live("disconnected")
    expect(mine.page.locator("[data-not-live]")).to_contain_text("signed out")
    expect(mine.page.locator("[data-active-jobs] [data-label]")).to_have_text("Signed out")
    expect(mine.page.locator("[data-active-action]")).to_contain_text("Idle")
    heard = len(mine.heard)
    mine.page.wait_for_timeout(700)  # longer than the first pause before trying again
    assert len(mine.heard) == heard


# The stream of runs -------------------------------------------------------------------------------


@contextlib.contextmanager
def stream(portal: Portal, text: str, query: str = "", **headers: str) -> Iterator[Any]:
    request = urllib.request.Request(  # noqa: S310
        f"{portal.url}/api/runs/stream{query}",
        headers={"Authorization": f"Bearer {text}", **headers},
    )
    with urllib.request.urlopen(request, timeout=15) as answer:  # noqa: S310
        yield answer


def next_run(answer: Any) -> dict[str, Any]:
    """The next `run-update`, with its event's id as "last"."""
    last = ""
    while line := answer.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "id":
            last = value
        if name == "data":
            return {**json.loads(value), "last": last}
    raise EOFError


def test_programs_follow_server_runs(
    portal: Portal, project: Project, other_project: Project, operator: User, outsider: User
) -> None:
    """Resumed with Last-Event-ID; never another team's; ended with the token."""
    actor = Actor(user=operator)
    token, text = ApiToken.issue(team=project.team, name="ci", role="viewer", user=None)
    first, _ = reporting.report(project, actor, kind="run")
    reporting.report(other_project, Actor(user=outsider), kind="run")
    with stream(portal, text, f"?projectId={project.pk}") as answer:
        seen = next_run(answer)
        assert (seen["id"], seen["status"]) == (first.pk, "pending")
        reporting.tell(first, actor, status="running")
        seen = next_run(answer)
        assert (seen["id"], seen["status"]) == (first.pk, "running")
    last = str(int(seen["last"]) + 6_000)  # beyond what is looked back
    Job.objects.filter(pk=first.pk).update(started_at=timezone.now())
    second, _ = reporting.report(project, actor, kind="run", status="running")
    later = timezone.now() + timedelta(seconds=20)
    second.events.update(at=later)
    with stream(portal, text, **{"Last-Event-ID": last}) as answer:
        assert next_run(answer)["id"] == second.pk
        tokens.revoke(token, actor)
        while answer.readline():  # ends with the token, within seconds
            pass
