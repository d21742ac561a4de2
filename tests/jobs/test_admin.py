"""The admin: every model opens; corrections go through the verbs, with a reason, and can be
undone (A1, A2, A3, A5, A6)."""

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.permissions import Actor
from jobs.events import EventKind
from jobs.models import Batch, Job, Record
from jobs.statuses import BatchStatus, JobStatus


@pytest.fixture
def site(as_user, staff):
    return as_user(staff)


@pytest.fixture
def failed_job(project, team):
    return Job.objects.create(
        team=team, project=project, kind="workflow", workflow_slug="se-work", label="SE Work",
        name="se-work — X-1", status=JobStatus.FAILED, ticket_key="X-1", total_count=1,
        failed_count=1, error="boom",
    )  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [m for m in admin.site._registry if m._meta.app_label in {"accounts", "projects", "jobs"}],
    ids=lambda m: m.__name__,
)
def test_every_list_opens_and_counts_no_further_than_its_limit(site, model, failed_job):
    """A5."""
    options = model._meta
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page = site.get(reverse(f"admin:{options.app_label}_{options.model_name}_changelist"))
    assert page.status_code == 200
    counts = [q["sql"] for q in queries if "COUNT(*)" in q["sql"]]
    assert all("LIMIT 10000" in sql for sql in counts), counts


def test_every_model_of_ours_is_registered():
    from django.apps import apps

    ours = {
        m for a in ("accounts", "projects", "jobs") for m in apps.get_app_config(a).get_models()
    }
    auto = {m for m in ours if m._meta.auto_created}
    assert ours - auto <= set(admin.site._registry)


def test_change_pages_open_without_edit(site, failed_job):
    page = site.get(reverse("admin:jobs_job_change", args=[failed_job.pk]))
    assert "Correct the status" in page.content.decode()
    assert 'name="_save"' not in page.content.decode()


def test_correction_needs_a_reason_and_is_written_to_the_history(site, failed_job, staff):
    """A1."""
    url = reverse("admin:jobs_job_correct", args=[failed_job.pk])
    page = site.post(url, {"status": "completed", "reason": ""})
    assert "This field is required" in page.content.decode()
    failed_job.refresh_from_db()
    assert failed_job.status == JobStatus.FAILED

    site.post(url, {"status": "completed", "reason": "It was done by hand."})
    failed_job.refresh_from_db()
    event = failed_job.events.get(kind=EventKind.CORRECTED)
    assert failed_job.status == JobStatus.COMPLETED
    assert failed_job.is_corrected
    assert (event.payload["old"], event.payload["new"]) == ("failed", "completed")
    assert (event.payload["reason"], event.actor_name) == ("It was done by hand.", "Staff")

    site.post(reverse("admin:jobs_job_undo", args=[failed_job.pk, event.pk]))
    failed_job.refresh_from_db()
    assert failed_job.status == JobStatus.FAILED


def test_correction_that_breaks_the_order_of_states_is_refused_with_the_rule(site, failed_job):
    """A2."""
    url = reverse("admin:jobs_job_correct", args=[failed_job.pk])
    page = site.post(url, {"status": "running", "reason": "try again"})
    assert "not one of the available choices" in page.content.decode()
    failed_job.refresh_from_db()
    assert failed_job.status == JobStatus.FAILED


def test_a_job_somebody_works_on_warns_and_offers_to_cancel(site, failed_job):
    """A3."""
    Job.objects.filter(pk=failed_job.pk).update(status=JobStatus.RUNNING, failed_count=0)
    Batch.objects.create(
        job=failed_job, team=failed_job.team, number=1, status=BatchStatus.RUNNING, record_count=1
    )
    url = reverse("admin:jobs_job_correct", args=[failed_job.pk])
    page = site.post(url, {"status": "failed", "reason": "It hangs."})
    assert "Cancel it instead" in page.content.decode()
    site.post(url, {"cancel": "1"})
    failed_job.refresh_from_db()
    assert failed_job.cancel_requested_at is not None


def test_bulk_says_who_was_skipped_and_why(site, failed_job, project, team):
    done = Job.objects.create(
        team=team, project=project, kind="workflow", workflow_slug="se-work", label="SE Work",
        name="se-work — X-2", status=JobStatus.COMPLETED, total_count=0,
    )  # fmt: skip
    url = reverse("admin:jobs_job_changelist")
    ids = [failed_job.pk, done.pk]
    ask = site.post(url, {"action": "bulk_mark_failed", "_selected_action": ids})
    assert "Mark as failed 2 jobs?" in ask.content.decode()
    form = {"action": "bulk_mark_failed", "_selected_action": ids, "confirmed": "1"}
    assert "A reason is required" in site.post(url, form).content.decode()
    page = site.post(url, {**form, "reason": "It never ended well."}, follow=True)
    assert "1 acted on, 1 skipped." in page.content.decode()
    assert f"Skipped #{failed_job.pk}" in page.content.decode()


def test_bulk_resend_skips_what_was_resent_already(site, failed_job, project, team):
    resent = Job.objects.create(
        team=team, project=project, kind="workflow", workflow_slug="se-work", label="SE Work",
        name="se-work — X-1", status=JobStatus.PENDING, total_count=1, resend_of=failed_job,
    )  # fmt: skip
    url = reverse("admin:jobs_job_changelist")
    form = {"action": "bulk_resend", "_selected_action": [failed_job.pk], "confirmed": "1"}
    page = site.post(url, form, follow=True).content.decode()
    assert "0 acted on, 1 skipped." in page
    assert f"Skipped #{failed_job.pk}: had been resent already, as #{resent.pk}" in page


def test_a_bulk_act_sends_one_hint(site, project, team, monkeypatch):
    """A message for each would keep every other task waiting behind them."""
    jobs = [
        Job.objects.create(
            team=team, project=project, kind="workflow", workflow_slug="se-work", label="SE Work",
            name="se-work — queued", status=JobStatus.RUNNING, total_count=1,
        )
        for _ in range(4)
    ]  # fmt: skip
    sent = []
    monkeypatch.setattr("jobs.tasks.run_batches.apply_async", lambda **_: sent.append(1))
    monkeypatch.setattr("jobs.execution.hints.transaction.on_commit", lambda act: act())
    ids = [job.pk for job in jobs]
    form = {"action": "bulk_cancel", "_selected_action": ids, "confirmed": "1"}
    page = site.post(reverse("admin:jobs_job_changelist"), form, follow=True)
    assert "4 acted on, 0 skipped." in page.content.decode()
    assert sent == [1]


def test_record_correction_moves_the_counters(site, failed_job, project, team):
    from django.utils import timezone

    record = Record.objects.create(
        job=failed_job, team=team, project=project, position=1, status="failed",
        created_at=timezone.now(),
    )  # fmt: skip
    url = reverse("admin:jobs_record_correct", args=[record.pk])
    site.post(url, {"status": "completed", "reason": "Sent by hand."})
    failed_job.refresh_from_db()
    record.refresh_from_db()
    assert record.status == "completed"
    assert (failed_job.done_count, failed_job.failed_count) == (1, 0)


def test_a_deleted_users_name_stays(failed_job, staff):
    """A6."""
    from jobs.events import emit

    event = emit(failed_job.pk, EventKind.CANCELLED, "Cancelled", actor=Actor(user=staff))
    staff.delete()
    event.refresh_from_db()
    assert (event.actor, event.actor_name) == (None, "Staff")


def test_outsiders_of_the_admin_are_sent_away(as_user, admin_member, failed_job):
    page = as_user(admin_member).get(reverse("admin:jobs_job_changelist"))
    assert page.status_code == 302
