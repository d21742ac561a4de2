"""The portal's pages for who cannot see well, or not at all: names, labels, contrast (audit.js)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page

from accounts.models import User
from accounts.permissions import Actor
from jobs.execution.dispatch import pause_project
from jobs.models import Agent, Job
from projects.models import Project
from tests.browser.tabs import make_job

pytestmark = pytest.mark.browser
AUDIT = (Path(__file__).parent / "audit.js").read_text()


@pytest.fixture
def jobs(project: Project) -> list[Job]:
    """One in every state, with all that its row and its page can show."""
    now = timezone.now()
    agent = Agent.objects.create(team=project.team, name="host-1")
    ended = {
        "started_at": now,
        "completed_at": now,
        "effort_level": "max",
        "agent": agent,
        "agent_name": "host-1",
    }
    steps = {"steps": [{"name": "one"}, {"name": "two"}], "step_count": 2}
    return [
        make_job(project, status="pending", started_at=None, ticket_key="T-1", kind="run"),
        make_job(project, started_at=now - timedelta(hours=30), kind="build"),
        make_job(project, status="waiting", kind="spinner", waiting_count=1, total_count=5, **steps),
        make_job(project, status="completed", done_count=1, output="All is well", **ended, **steps),
        make_job(project, status="failed", error="boom\nmore", error_step="2 (two)", failed_count=1,
                 error_type="unknown", input={"token": "x", "hint": "y"}, **ended, **steps),
        make_job(project, status="cancelled", uncertain_count=1, **ended, **steps),
    ]  # fmt: skip


@pytest.mark.parametrize("dark", [False, True])
def test_everything_has_a_name_and_can_be_read(
    page_as: Callable[..., Page], admin_member: User, project: Project, jobs: list[Job], *, dark: bool
) -> None:  # fmt: skip
    """SPEC 2, J18: in both themes."""
    pause_project(project, Actor(user=admin_member), reason="upgrade")
    page = page_as(admin_member, dark=dark)
    failed = jobs[4]
    stumbles = {}
    for path in (
        "jobs", "jobs?status=failed&workflow=se-work", "jobs?effort=high",
        *(f"jobs/{job.pk}" for job in jobs), f"jobs/{failed.pk}/resend",
        f"jobs/bulk?action=resend&job={failed.pk}&job={jobs[3].pk}", "agents", "agents/run", "queue",
    ):  # fmt: skip
        page.goto(f"/portal/{path}")
        if found := page.evaluate(AUDIT):
            stumbles[path] = found
    assert not stumbles
