"""The portal's job pages: who may open and press what."""

import re

import pytest
from django.urls import reverse

from jobs.models import Agent, BulkAction, Job


@pytest.fixture
def job(project):
    return Job.objects.create(
        team=project.team, project=project, kind="workflow", workflow_slug="se-work",
        label="SE Work", name="se-work — SCRUM-1", ticket_key="SCRUM-1", status="failed",
        total_count=1, failed_count=1, step_count=2, error="boom", error_type="provider_error",
    )  # fmt: skip


def addresses(job):
    agent = Agent.objects.create(team=job.team, name="a-1")
    action = BulkAction.objects.create(
        kind="cancel", actor_name="Somebody", team_ids=[job.team_id], selection={"ids": []},
        launch_key="k",
    )  # fmt: skip
    return {
        "detail": reverse("jobs:detail", args=[job.pk]),
        "events": reverse("jobs:events", args=[job.pk]),
        "cancel": reverse("jobs:cancel", args=[job.pk]),
        "resend": reverse("jobs:resend", args=[job.pk]),
        "force_stop": reverse("jobs:force_stop", args=[job.pk]),
        "reveal": reverse("jobs:reveal", args=[job.pk]),
        "agent": reverse("jobs:agent_edit", args=[agent.pk]),
        "pause": reverse("jobs:pause", args=[job.project.slug]),
        "bulk_action": reverse("jobs:bulk_action", args=[action.pk]),
        "bulk_abort": reverse("jobs:bulk_abort", args=[action.pk]),
    }


def test_outsider_gets_404_everywhere(as_user, outsider, job):
    """D18, X1: a job of another team and one that does not exist are the same page."""
    client = as_user(outsider)
    for name, url in addresses(job).items():
        method = client.post if name in {"reveal", "pause", "bulk_abort"} else client.get
        assert method(url).status_code == 404, name
    missing = client.get(reverse("jobs:detail", args=[99_999]))
    hidden = client.get(reverse("jobs:detail", args=[job.pk]))
    # Only the time of the page's numbers and the forms' tokens may differ.
    changing = rb'"now": \d+|csrfmiddlewaretoken" value="\w+'
    same = [re.sub(changing, b"", page.content) for page in (missing, hidden)]
    assert same[0] == same[1]
    for page in ("list", "agents", "queue", "export"):
        answer = client.get(reverse(f"jobs:{page}"))
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert answer.status_code == 200
        assert b"SCRUM-1" not in body


@pytest.mark.parametrize("page", ["cancel", "resend", "force_stop", "reveal", "pause", "agent"])
def test_viewer_may_look_but_not_act(as_user, viewer, job, page):
    """X3: hidden on the page, refused by the server."""
    client = as_user(viewer)
    url = addresses(job)[page]
    assert client.post(url).status_code == 403
    assert "Resend" not in client.get(reverse("jobs:list")).content.decode()
    assert client.get(reverse("jobs:detail", args=[job.pk])).status_code == 200
    assert client.get(reverse("jobs:run_workflow")).status_code == 403
    assert client.get(reverse("jobs:bulk") + "?action=cancel&all=1").status_code == 403


def test_signed_out_is_sent_to_sign_in(client, job):
    for page in ("list", "agents", "queue", "export", "run_workflow", "bulk_actions", "updates"):
        assert client.get(reverse(f"jobs:{page}")).status_code == 302, page
