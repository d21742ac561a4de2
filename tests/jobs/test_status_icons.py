"""A status is an icon and a word wherever it stands (J18); tests/browser/test_status_icons.py looks
at the icons themselves."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from accounts.models import User
from jobs.models import Job, Record
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus, RecordStatus
from projects.models import Pipeline, Project

CANCELLING = ("running", "Cancelling…", "cancelling")
JOB_STATUSES = [*((s.value, s.label, s.value) for s in JobStatus), CANCELLING]


@pytest.fixture
def make_job(project: Project) -> Callable[..., Job]:
    cache.clear()

    def make(status: str, shape: str, **fields: Any) -> Job:
        now = timezone.now()
        return Job.objects.create(
            **{
                "team": project.team, "project": project, "kind": "workflow", "label": "SE Work",
                "workflow_slug": "se-work", "name": "se-work", "status": status, "total_count": 1,
                "started_at": None if status == "pending" else now,
                "completed_at": None if status in ACTIVE_JOB_STATUSES else now,
                "cancel_requested_at": now if shape == "cancelling" else None, **fields,
            }
        )  # fmt: skip

    return make


def badge(shape: str, word: str) -> str:
    return rf'<span class="dot {shape}" aria-hidden="true"></span>{re.escape(word)}<'


@pytest.mark.parametrize(("status", "word", "shape"), JOB_STATUSES)
def test_a_jobs_status_on_list_and_detail(
    as_user: Callable[[User], Client], viewer: User, make_job: Callable[..., Job], status: str,
    word: str, shape: str,
) -> None:  # fmt: skip
    """J18"""
    job = make_job(status, shape)
    client = as_user(viewer)
    row = client.get("/portal/jobs").content.decode().split("<article", 1)[1]
    assert re.search(badge(shape, word), row)
    title = row.split('class="title">', 1)[1]
    assert title.startswith(f'<span class="dot {shape}"')
    page = client.get(job.get_absolute_url()).content.decode()
    assert re.search(badge(shape, word), page.split('id="job-status"', 1)[1])


@pytest.mark.parametrize(
    ("status", "word", "shape"),
    [("pending", "Queued", "pending"), ("running", "Running", "running"),
     ("waiting", "Waiting", "waiting"), ("running", "Cancelling", "cancelling")],
)  # fmt: skip
def test_a_jobs_status_in_the_indicator(
    as_user: Callable[[User], Client], viewer: User, make_job: Callable[..., Job], status: str,
    word: str, shape: str,
) -> None:  # fmt: skip
    """J18: as the page is first painted; the socket's rows draw the same (active-jobs.js)."""
    make_job(status, shape)
    page = as_user(viewer).get("/portal/agents").content.decode()
    entry = page.split('class="active-job"', 1)[1].split("</li>")[0]
    assert f'<span class="dot {shape}" role="img" aria-label="{word}"></span>' in entry


@pytest.mark.parametrize("status", RecordStatus)
def test_a_records_status_in_its_lists_and_on_its_page(
    as_user: Callable[[User], Client], viewer: User, make_job: Callable[..., Job],
    make_spinner: Callable[..., Pipeline], status: RecordStatus,
) -> None:  # fmt: skip
    """J18"""
    spinner = make_spinner()
    run = make_job("running", "running", kind="spinner", pipeline=spinner,
                   steps=[{"name": "compose", "kind": "template"}], step_count=1)  # fmt: skip
    record = Record.objects.create(
        job=run, team=run.team, project=run.project, pipeline=spinner, position=1, status=status,
        contact_name="Ana", created_at=timezone.now(),
    )  # fmt: skip
    client = as_user(viewer)
    base = f"/portal/projects/{run.project.slug}"
    for address in (
        f"{base}/records", f"{base}/records/{record.pk}", f"{base}/jobs/{run.pk}",
    ):  # fmt: skip
        page = client.get(address).content.decode()
        assert re.search(badge(status.value, status.label), page), address
