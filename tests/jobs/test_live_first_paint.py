"""What a page says of active jobs before its socket is open."""

import json
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import Job, JobType
from projects.models import Project


def state_of(client) -> dict:
    page = client.get(reverse("accounts:profile")).content.decode()
    return json.loads(re.search(r'id="active-jobs-state"[^>]*>(.*?)</script>', page).group(1))


@pytest.fixture
def make_jobs(team, project):
    def make(count: int, status: str) -> None:
        Job.objects.bulk_create(
            Job(team=team, project=project, kind="workflow", workflow_slug="se-work",
                label="SE Work", name="se-work", status=status, total_count=1)
            for _ in range(count)
        )  # fmt: skip

    return make


def test_totals_are_whole_however_few_are_shown(as_user, viewer, make_jobs, project):
    """S1, S11: sixty running and seven pending; the page carries a few and counts all."""
    make_jobs(60, "running")
    make_jobs(7, "pending")
    state = state_of(as_user(viewer))
    assert state["totals"] == {"running": 60, "waiting": 0, "pending": 7}
    assert state["in_project"] == {str(project.pk): 67}
    assert len(state["jobs"]) == 12
    page = as_user(viewer).get(reverse("accounts:profile")).content.decode()
    assert "60 jobs running" in page
    assert "see all 67" in page


@pytest.mark.parametrize(
    ("status", "label"),
    [("running", "1 job running"), ("pending", "1 job pending"), ("waiting", "1 job waiting"),
     ("completed", "No active jobs")],
)  # fmt: skip
def test_label(as_user, viewer, make_jobs, status, label):
    """S2."""
    make_jobs(1, status)
    assert label in as_user(viewer).get(reverse("accounts:profile")).content.decode()


@pytest.mark.parametrize(
    ("kind", "slug", "label", "action"),
    [("workflow", "generating-plan", "Generating Plan", "Generating Plan queued…"),
     ("workflow", "developing-task", "Developing Task", "Developing Task queued…"),
     ("workflow", None, "SE Work", "SE Work queued…"),
     ("spinner", "spinner", "SE Work", "SE Work queued…"),
     ("build", "build", "SE Work", "Build queued…")],
)  # fmt: skip
def test_a_workflow_of_the_catalogue_goes_by_its_types_label(
    as_user, viewer, make_jobs, kind, slug, label, action
):
    """SPEC sections 4 and 5."""
    make_jobs(1, "pending")
    Job.objects.update(kind=kind, job_type=JobType.objects.filter(slug=slug).first())
    job = state_of(as_user(viewer))["jobs"][0]
    assert (job["label"], job["action_label"]) == (label, action)
    assert bool(job["short_id"]) == (slug == "developing-task")


def test_an_outsider_is_told_nothing(as_user, outsider, make_jobs):
    """X1."""
    make_jobs(3, "running")
    assert state_of(as_user(outsider))["totals"] == {"running": 0, "waiting": 0, "pending": 0}


def test_it_costs_two_queries(as_user, viewer, make_jobs, django_assert_max_num_queries):
    make_jobs(30, "running")
    client = as_user(viewer)
    client.get(reverse("accounts:profile"))
    # Session, user, memberships, projects, notices, and these two.
    with django_assert_max_num_queries(7):
        client.get(reverse("accounts:profile"))


def test_time_in_a_state_is_said_with_its_word(as_user, viewer, make_jobs, project):
    """S4, S5, S10: a waiting job's time is counted from when it began to wait."""
    now = timezone.now()
    make_jobs(2, "waiting")
    make_jobs(2, "running")
    make_jobs(1, "pending")
    Job.objects.update(started_at=now - timedelta(hours=3), created_at=now - timedelta(hours=4))
    waiting, untold, stalled, paused, pending = Job.objects.order_by("pk")
    began = now - timedelta(minutes=10, seconds=5)
    Job.objects.filter(pk=waiting.pk).update(wait_began_at=began)
    gate = JobType.objects.get(slug="validating-gate")
    Job.objects.filter(pk__in=[stalled.pk, paused.pk]).update(job_type=gate)
    other = Project.objects.create(
        team=project.team, name="Autumn", slug="autumn", paused_at=now, paused_by_name="Olu"
    )
    Job.objects.filter(pk=paused.pk).update(project=other)
    page = as_user(viewer).get(reverse("accounts:profile")).content.decode()

    def row(job: Job) -> str:
        html = page.split(f'class="active-job" href="/portal/jobs/{job.pk}"')[1].split("</li>")[0]
        return " ".join(re.sub("<[^>]*>", " ", html.split(">", 1)[1]).split())

    assert row(waiting) == "SE Work Waiting for 10m"
    assert row(untold) == "SE Work Waiting for 3h 0m"
    assert row(pending) == "SE Work Queued for 4h 0m"
    assert row(stalled) == "Validating Gate STALLED? 3:00:00 Deploy Agent · usually 30s–5m"
    assert row(paused) == "Validating Gate 3:00:00 Deploy Agent"
