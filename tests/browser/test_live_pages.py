"""Open pages through every state of a job, and through the loss of what carries the news."""

import contextlib
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import Membership, Team, User
from accounts.permissions import Actor
from jobs import events
from jobs.execution import dispatch
from jobs.execution.selection import Selection
from jobs.models import Batch, Job, Record
from projects.models import Contact, Pipeline, Project
from tests.browser.tabs import Tab, change, ended, make_job
from tests.processes.crew import Broker
from tests.processes.portal import Portal, wait_until

pytestmark = pytest.mark.browser
WAITING = [
    {"name": "ask", "kind": "wait", "config": {"for": "approval", "prompt": "Go on?"}},
    {"name": "done", "kind": "outcome", "config": {"outcome": "sent"}},
]


@pytest.fixture
def both(other_team: Team, operator: User) -> User:
    """A user of both teams."""
    Membership.objects.create(team=other_team, user=operator, role="viewer")
    return operator


def equals_database(one: Tab, *teams: Team) -> bool:
    """Label, queued line, counts of the projects and rows, against the rows of the moment."""
    jobs = Job.objects.active().filter(team__in=teams).values_list("id", "status", "project__name")
    found = list(jobs)
    counts = Counter(status for _, status, _ in found)
    status = next((s for s in ("running", "pending", "waiting") if counts[s]), "")
    number = counts[status]
    label = f"{number} job{'' if number == 1 else 's'} {status}" if status else "No active jobs"
    queued = counts["pending"] if counts["running"] else 0
    expected = {
        "label": label,
        "queued": f"{queued} more queued" if queued else "",
        "rows": sorted(f"{pk} is-{status}" for pk, status, _ in found),
        "groups": {k: str(v) for k, v in Counter(name for _, _, name in found).items()},
        "health": "connected",
    }
    shown = one.page.evaluate("""() => {
        const all = (s) => [...document.querySelectorAll(`.active-jobs ${s}`)];
        const text = (s) => all(s)[0].textContent;
        const active = ".active-job:is(.is-running, .is-waiting, .is-pending)";
        const sections = all("[data-panel] section").filter((s) => s.querySelector(active));
        return {
            label: text("[data-label]"), queued: text("[data-queued]"),
            rows: all(active).map((a) => `${a.dataset.job} ${a.classList[1]}`).sort(),
            groups: Object.fromEntries(sections.map(
                (s) => [s.ariaLabel, s.querySelector(".group-count").textContent])),
            health: all("[data-health]")[0].dataset.health,
        };
    }""")
    return bool({**shown, "rows": sorted(shown["rows"])} == expected)


@contextlib.contextmanager
def away(portal: Portal, broker: Broker) -> Iterator[None]:
    """No broker and no channel layer, which come back with nothing in them.

    Embedded, the layer is a file: locked for everybody, and emptied.
    """
    broker.lose_everything(portal)
    if broker.env:
        yield
        broker.start()
        return
    file = sqlite3.connect(portal.folder / "channels.sqlite3", isolation_level=None, timeout=60)
    with contextlib.closing(file):
        file.execute("BEGIN IMMEDIATE")
        file.execute("DELETE FROM channels_lite_groupmembership")
        file.execute("DELETE FROM channels_lite_event")
        yield
        file.execute("COMMIT")


def is_subscribed(portal: Portal, broker: Broker, team: Team) -> bool:
    """The web process hears of this team again."""
    if broker.env:
        server = redis.Redis(port=broker.port)
        return bool(server.pubsub_channels(f"*__group__team.{team.pk}"))
    file = sqlite3.connect(portal.folder / "channels.sqlite3", timeout=60)
    with contextlib.closing(file):
        rows = file.execute(
            "SELECT 1 FROM channels_lite_groupmembership WHERE group_name = ?", [f"team.{team.pk}"]
        )
        return rows.fetchone() is not None


def test_broker_and_channel_layer_go_and_come_back(
    tab: Callable[[User], Tab],
    viewer: User,
    both: User,
    outsider: User,
    team: Team,
    other_team: Team,
    project: Project,
    other_project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
    portal: Portal,
    broker: Broker,
) -> None:
    """S1, S9, X1: three users' pages equal the database meanwhile and afterwards; work goes on."""
    make_contacts(2)
    spinner = make_spinner(steps=WAITING)
    jobs = [make_job(project) for _ in range(4)]
    make_job(other_project, status="pending", started_at=None)
    pages = {tab(viewer): [team], tab(both): [team, other_team], tab(outsider): [other_team]}

    def all_equal() -> bool:
        return all(equals_database(one, *teams) for one, teams in pages.items())

    for one in pages:
        one.open()
    wait_until(all_equal, what="before")
    actor = Actor(user=both)
    with away(portal, broker):
        change(jobs[0], status="completed", completed_at=timezone.now())
        change(jobs[1], status="waiting")
        make_job(project, status="pending", started_at=None)
        Job.objects.filter(pk=jobs[2].pk).delete()
        run = dispatch.dispatch_spinner(spinner, actor, selection=Selection(kind="all"))
        wait_until(lambda: portal.start() or Job.objects.get(pk=run.pk).status == "waiting")
        wait_until(all_equal, what="the database, without broker and channel layer")
    portal.start()
    change(jobs[3], status="failed", completed_at=timezone.now(), error_type="worker_lost")
    change(jobs[1], status="running")
    wait_until(all_equal, what="the database, with both again")
    wait_until(lambda: is_subscribed(portal, broker, team))
    first, second = Record.objects.filter(job=run)
    mine, third, other = pages
    dispatch.approve(first, actor)
    ended(run, "1 of 2 contacts", mine, third)
    dispatch.approve(second, actor)
    ended(run, "Completed", mine, third)
    wait_until(all_equal)
    told = [frame["job"]["team"] for frame in other.heard if frame["type"] == "job"]
    assert set(told) <= {other_team.pk}


def test_every_state_of_a_job_in_the_panels_of_two_users(
    tab: Callable[[User], Tab], viewer: User, both: User, outsider: User, project: Project
) -> None:
    """S1, S5, S6, X1, X2: queued, runs, is being stopped, waits, fails; then a right is lost."""
    mine, third, other = tab(viewer), tab(both), tab(outsider)
    for one in (mine, third):
        one.open()
    job = make_job(project, status="pending", started_at=None)
    now = timezone.now()
    # Somebody is at work on it: else the sweep would end it as soon as it is to be stopped.
    Batch.objects.create(
        job=job, team=project.team, number=1, record_count=1, status="running",
        lease_owner="a test", lease_expires_at=now + timedelta(hours=1),
    )  # fmt: skip
    stages: list[tuple[str, str, dict[str, object]]] = [
        ("1 job pending", r"Queued.*for \d+ ?s", {"status": "pending"}),
        ("1 job running", r"0:\d\d", {"status": "running", "started_at": now}),
        ("1 job running", r"Cancelling…", {"status": "running", "cancel_requested_at": now}),
        ("1 job waiting", r"Waiting.*for", {"status": "waiting", "cancel_requested_at": None}),
        ("No active jobs", r"Failed.*[Rr]etry",
         {"status": "failed", "error_type": "llm_timeout", "completed_at": now}),
    ]  # fmt: skip
    for label, text, fields in stages:
        change(job, **fields)
        for one in (mine, third):
            one.says(label)
            expect(one.row(job)).to_contain_text(re.compile(text, re.S))
    again = make_job(project)
    events.emit(again.pk, "job.started")
    mine.says("1 job running")
    third.says("1 job running")
    Membership.objects.filter(user=both, team=project.team).delete()
    third.says("No active jobs")
    expect(third.row(again)).to_have_count(0)
    assert not [frame for frame in other.heard if frame["type"] == "job"]
    other.says("No active jobs")


def test_over_fifty_jobs_fifty_are_shown_and_a_link_leads_to_all(
    tab: Callable[[User], Tab], viewer: User, project: Project
) -> None:
    """S1, S11, S12: sidebar, panel and Jobs page say the same numbers."""
    long = timezone.now() - timedelta(minutes=3)
    for number in range(57):
        make_job(project, **({"started_at": long} if number < 52 else
                             {"status": "pending", "started_at": None}))  # fmt: skip
    mine = tab(viewer)
    mine.says("52 jobs running")
    mine.open()
    expect(mine.page.locator("[data-panel] [data-job]")).to_have_count(50)
    expect(mine.page.locator("[data-panel] .group-count")).to_have_text("57")
    expect(mine.page.locator("[data-queued]")).to_have_text("5 more queued")
    mine.page.locator("h1").first.click()
    expect(mine.page.locator("[data-panel]")).to_be_hidden()
    mine.page.locator(".active-jobs > summary").press("Enter")
    link = mine.page.get_by_role("link", name="see all 57")
    link.focus()
    link.press("Enter")
    mine.page.wait_for_url("**/jobs?status=active")
    expect(mine.page.locator("main")).to_contain_text("57")
