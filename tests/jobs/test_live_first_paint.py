"""What a page says of active jobs before its socket is open."""

import json
import re

import pytest
from django.urls import reverse

from jobs.models import Job, JobType


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


def test_it_costs_one_query(as_user, viewer, make_jobs, django_assert_max_num_queries):
    make_jobs(30, "running")
    client = as_user(viewer)
    client.get(reverse("accounts:profile"))
    # Session, user, memberships, projects, and this one.
    with django_assert_max_num_queries(6):
        client.get(reverse("accounts:profile"))
