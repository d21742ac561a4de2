"""Every page that waits for a worker says that none is up, and how to start one (SPEC section 8)."""

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import BulkAction, Job, Worker
from projects.contacts.models import ImportStatus
from projects.models import ContactImport
from tests.jobs.engine_rig import launch

HOW = "uv run manage.py up"


@pytest.fixture
def pages(operator, team, project, make_spinner, make_contacts):
    make_contacts(2)
    spinner = make_spinner()
    pending, running = launch(spinner), launch(spinner)
    Job.objects.filter(pk=running.pk).update(status="running", started_at=timezone.now())
    action = BulkAction.objects.create(
        kind="cancel", actor=operator, actor_name="Olu", team_ids=[team.pk], selection={},
        total_count=2,
    )  # fmt: skip
    imported = ContactImport.objects.create(
        project=project, file_name="a.csv", status=ImportStatus.QUEUED
    )
    of_project = [project.slug]
    record = pending.records.first()
    return {
        "start": reverse("jobs:start_run", args=of_project),
        "forecast": reverse(
            "jobs:start_run_forecast", args=of_project,
            query={"spinner": spinner.pk, "contacts": "all"},
        ),
        "a pending run": reverse("jobs:runs", args=[project.slug, pending.pk]),
        "a running run": reverse("jobs:runs", args=[project.slug, running.pk]),
        "a record": reverse("jobs:record", args=[project.slug, record.pk]),
        "a pending job": reverse("jobs:detail", args=[pending.pk]),
        "a running job": reverse("jobs:detail", args=[running.pk]),
        "live ops": reverse("jobs:live_ops", args=of_project),
        "queue": reverse("jobs:queue"),
        "agents": reverse("jobs:agents"),
        "a bulk action": action.get_absolute_url(),
        "an import": imported.get_absolute_url(),
    }  # fmt: skip


def test_every_page_that_waits_for_one_says_how_to_start_it(as_user, operator, pages):
    client = as_user(operator)

    def saying() -> set[str]:
        return {name for name, url in pages.items() if HOW in client.get(url).content.decode()}

    assert saying() == set(pages)
    Worker.objects.create(name="w:1", host="w", pid=1)
    assert saying() == set()


def test_a_jobs_open_page_hears_of_the_last_workers_end(as_user, operator, pages):
    """D7: its stamp changes, though nothing of the job did."""
    client = as_user(operator)
    worker = Worker.objects.create(name="w:1", host="w", pid=1)
    url = pages["a running job"]
    stamp = client.get(url).context["stamp"]
    assert client.get(url, {"stamp": stamp}).status_code == 204
    worker.delete()
    answer = client.get(url, {"stamp": stamp})
    assert answer.status_code == 200
    assert HOW in answer.content.decode()
