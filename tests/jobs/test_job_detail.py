"""A job's page (SPEC section 7): what it says, and what can be done from it."""

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.urls import reverse
from django.utils import timezone

from accounts.permissions import Actor
from jobs import events, usual
from jobs.events import EventKind
from jobs.execution import engine
from jobs.execution.dispatch import cancel, dispatch_workflow, pause_project
from jobs.models import Agent, DurationRange, Job, JobEvent, Record, Worker
from jobs.timeline import timeline_of
from projects.models import Pipeline, PipelineVersion
from tests.jobs.engine_rig import run_spinner

STEPS = [
    {"name": "analyze-codebase", "kind": "template",
     "config": {"field": "text", "template": "{{ job.ticket_key }} and more"}},
    {"name": "report", "kind": "outcome",
     "config": {"outcome": "done", "metadata": [{"name": "message", "value": "All is well"}]}},
]  # fmt: skip
TICKET = "https://tracker.example.com/browse/MVP-1588"


@pytest.fixture
def workflow(team):
    pipeline = Pipeline.objects.create(
        team=team, kind="workflow", name="Deploy preview", slug="deploy-preview",
        job_type_slug="validating-gate", draft={"steps": STEPS},
    )  # fmt: skip
    pipeline.current_version = PipelineVersion.objects.create(
        pipeline=pipeline, number=1, definition={"steps": STEPS}
    )
    pipeline.save(update_fields=["current_version"])
    return pipeline


@pytest.fixture
def dispatch(workflow, project, operator):
    def start(**fields):
        return dispatch_workflow(
            workflow, Actor(user=operator), project=project, ticket_url=TICKET,
            **{"input": {"ticket_url": TICKET, "hint": "<b>look</b>", "api_token": "s3cret"}, **fields},
        )  # fmt: skip

    return start


@pytest.fixture
def failed_job(project):
    """As a remote agent reported it: the second of six steps failed."""
    at = timezone.now() - timedelta(minutes=5)
    job = Job.objects.create(
        team=project.team, project=project, kind="workflow", workflow_slug="deploy-preview",
        label="Deploy preview", name="deploy-preview — MVP-1588", ticket_key="MVP-1588",
        status="failed", total_count=1, failed_count=1, effort_level="high", agent_name="deploy-agent",
        steps=[{"name": "analyze-codebase"}, {"name": "validate-gate", "max_attempts": 3},
               {"name": "ship"}],
        step_count=3, current_step=2, error="remote: rejected\nTraceback <x>", created_at=at,
        error_type="git_push_rejected", error_step="2 (validate-gate)", started_at=at,
        completed_at=at + timedelta(seconds=48), created_by_name="Olu Operator",
    )  # fmt: skip
    told = [
        (EventKind.CREATED, 0, {}), (EventKind.QUEUED, 0.018, {"ms": 18}),
        (EventKind.CLAIMED, 0.02, {"queued_seconds": 0.002}), (EventKind.STARTED, 0.045, {}),
        (EventKind.STEP_STARTED, 0.045, {"step": 1, "name": "analyze-codebase"}),
        (EventKind.STEP_COMPLETED, 15.1, {"step": 1, "name": "analyze-codebase", "ms": 15_055}),
        (EventKind.STEP_STARTED, 15.1, {"step": 2, "name": "validate-gate"}),
        (EventKind.STEP_FAILED, 47.9, {"step": 2, "name": "validate-gate", "ms": 32_800,
                                       "attempts": 3}),
        (EventKind.FAILED, 47.95, {}), (EventKind.TORN_DOWN, 48, {"ms": 41}),
    ]  # fmt: skip
    for kind, seconds, payload in told:
        event = events.emit(job.pk, kind, payload=payload)
        JobEvent.objects.filter(pk=event.pk).update(at=at + timedelta(seconds=seconds))
    job.refresh_from_db()
    return job


def page(client, job, query=""):
    return client.get(f"/portal/jobs/{job.pk}{query}").content.decode()


def test_a_completed_workflow_shows_everything(as_user, viewer, dispatch):
    """D1, D2, X5"""
    job = dispatch(effort="max")
    engine.run_here()
    job.refresh_from_db()
    assert job.status == "completed", job.error
    html = page(as_user(viewer), job)
    for text in (
        f"<title>Job #{job.pk} - Spindle</title>", "deploy-preview — MVP-1588", "Completed", "MAX",
        f"pipeline-job-{job.pk}", "Workflow execution ID", str(job.workflow_execution_id),
        f'<a class="link" href="{TICKET}"', "&lt;b&gt;look&lt;/b&gt;", "Created", "UTC",
        f"Job: COMPLETED | {job.event_count} events |", f"| {job.short_id}", "All is well",
        "1 · analyze-codebase", "2 · report", "Olu Operator", "Back to jobs", "Ended",
    ):  # fmt: skip
        assert text in html, text
    assert "s3cret" not in html
    assert "hx-get" not in html.split('id="job-poll"')[1].split(">")[0]
    phases = [part.split('"')[0] for part in html.split('data-phase="')[1:]]
    assert phases == ["Init", "Agent Setup", "Execution", "Teardown"]


def test_a_failed_job_says_why_where_and_what_to_do(as_user, operator, failed_job):
    """D3, D6"""
    html = page(as_user(operator), failed_job, "?from_status=failed")
    for text in (
        "Back to failed jobs", f'href="/portal/jobs?status=failed#job-{failed_job.pk}"',
        "Step 2 (validate-gate) failed", "The repository refused the push.",
        "remote: rejected</div>", "What to do: Check for a concurrent push, rebase, and retry.", "Raw error",
        "Traceback &lt;x&gt;", "Job: FAILED | 10 events", "18ms", "15.1s", "32.8s", "attempt 3 of 3",
        "41ms", "not reached", "No output: the job failed before its last step.",
        f'href="/portal/jobs/{failed_job.pk}/resend"',
    ):  # fmt: skip
        assert text in html, text
    assert "<details" in html.split("Raw error")[0].rpartition("card error")[2]


def test_timeline_marks_phases_from_the_history(failed_job):
    """D2, D3"""
    timeline = timeline_of(failed_job)
    assert timeline is not None
    assert [phase.state for phase in timeline.phases] == ["done", "done", "failed", "done"]
    assert [step.state for step in timeline.steps] == ["done", "failed", ""]
    execution, first, second = timeline.execution.span, *(s.span for s in timeline.steps[:2])
    assert first.left == pytest.approx(execution.left, abs=1)
    assert second.left == pytest.approx(1000 * 15.1 / 48, abs=10)
    assert execution.left + execution.width <= 1000
    assert timeline.phases[2].share == "100 %"


def test_row_and_history_that_disagree_are_shown(as_user, viewer, failed_job):
    JobEvent.objects.filter(job=failed_job, kind=EventKind.FAILED).update(kind=EventKind.COMPLETED)
    html = page(as_user(viewer), failed_job)
    assert (
        "Status mismatch: portal says &#x27;failed&#x27; but orchestrator says &#x27;COMPLETED&#x27;"
        in html
    )


@pytest.mark.parametrize("why", ["pruned", "store down"])
def test_without_history_the_other_cards_still_show(as_user, viewer, failed_job, why, monkeypatch):
    if why == "pruned":
        JobEvent.objects.filter(job=failed_job).delete()
    else:

        def refuse(*args, **kwargs):
            raise DatabaseError("away")

        monkeypatch.setattr("jobs.timeline.JobEvent.objects.filter", refuse)
    html = page(as_user(viewer), failed_job)
    assert "Execution history unreachable" in html
    assert "Step 2 (validate-gate) failed" in html
    assert "pipeline-job-" in html


def test_pending_says_why(as_user, viewer, operator, dispatch, project, settings):
    """D4, G6"""
    client = as_user(viewer)
    first, job = dispatch(), dispatch()
    assert "Pending: No worker is up; place 2 in the queue." in page(client, job)
    Worker.objects.create(name="w1", host="h", pid=1)
    assert "In line; place 2 in the queue" in page(client, job)
    assert "Next to start; place 1 in the queue" in page(client, first)
    pause_project(project, Actor(user=operator), reason="maintenance")
    assert "was paused by Olu Operator" in page(client, job)
    assert "maintenance" in page(client, job)
    project.paused_at = None
    project.save()
    Job.objects.filter(pk=job.pk).update(scheduled_for=timezone.now() + timedelta(hours=2))
    assert "Pending: Scheduled for" in page(client, job)
    remote = Agent.objects.create(team=job.team, name="far", kind="remote")
    Job.objects.filter(pk=job.pk).update(scheduled_for=None, agent=remote)
    assert "No free agent: far is offline" in page(client, job)


def test_waiting_says_for_what_and_links_to_the_answer(as_user, operator, dispatch, workflow):
    """D5"""
    steps = [{"name": "gate", "kind": "wait", "config": {"for": "approval", "prompt": "Ship it?"}}]
    version = PipelineVersion.objects.create(
        pipeline=workflow, number=2, definition={"steps": steps}
    )
    workflow.current_version = version
    workflow.save()
    job = dispatch()
    engine.run_here()
    job.refresh_from_db()
    assert job.status == "waiting"
    html = page(as_user(operator), job)
    record = Record.objects.get(job=job)
    assert (
        "Waiting for a person&#x27;s approval" in html or "Waiting for a person's approval" in html
    )
    assert "Ship it?" in html
    assert f'href="/portal/projects/spring/records/{record.pk}"' in html
    assert "Approve or reject" in html


def test_only_the_living_parts_come_with_a_poll_and_polling_ends(as_user, viewer, dispatch):
    """D7, D8"""
    client = as_user(viewer)
    job = dispatch()
    html = page(client, job)
    address = html.split('id="job-poll" hx-get="')[1].split('"')[0]
    assert client.get(address).status_code == 204
    engine.run_here()
    swap = client.get(address).content.decode()
    assert "<html" not in swap
    for part in ("status", "actions", "agent", "timeline", "error", "output"):
        assert f'id="job-{part}"' in swap
        assert "hx-swap-oob" in swap
    assert "hx-get" not in swap.split('id="job-poll"')[1].split(">")[0]


def test_a_place_and_a_stall_move_the_page_without_an_event(as_user, viewer, operator, dispatch):
    """D4, S10: nothing happens to the job itself."""
    client = as_user(viewer)
    first, job = dispatch(), dispatch()

    def poll(html):
        return client.get(html.split('id="job-poll" hx-get="')[1].split('"')[0])

    html = page(client, job)
    assert "place 2 in the queue" in html
    cancel(first, Actor(user=operator))
    html = poll(html).content.decode()
    assert "place 1 in the queue" in html
    assert poll(html).status_code == 204
    began = timezone.now() - timedelta(minutes=7)  # "Validating Gate": 30 s to 5 min
    Job.objects.filter(pk=job.pk).update(status="running", started_at=began)
    html = poll(html).content.decode()
    assert "may be stalled" not in html
    Job.objects.filter(pk=job.pk).update(started_at=began - timedelta(minutes=4))
    assert "may be stalled" in poll(html).content.decode()


def test_usual_range_and_stall_are_said(as_user, viewer, dispatch, workflow):
    job = dispatch()
    Job.objects.filter(pk=job.pk).update(
        status="running", started_at=timezone.now() - timedelta(minutes=20)
    )
    DurationRange.objects.create(
        pipeline=workflow, effort_level="", sample_count=9, low_seconds=120, high_seconds=240
    )
    html = page(as_user(viewer), job)
    assert "usually 2–4 min" in html
    assert "may be stalled" in html
    assert usual.is_stalled(Job.objects.get(pk=job.pk))


def test_query_count_of_the_page_is_bounded(
    as_user, viewer, failed_job, django_assert_max_num_queries
):
    client = as_user(viewer)
    page(client, failed_job)
    for _ in range(300):
        JobEvent.objects.create(
            job=failed_job, number=100 + _, kind=EventKind.PROGRESSED, at=timezone.now()
        )
    with django_assert_max_num_queries(11):
        page(client, failed_job)


def test_full_history_is_listed_page_by_page(as_user, viewer, failed_job):
    html = as_user(viewer).get(f"/portal/jobs/{failed_job.pk}/events").content.decode()
    assert html.count('id="event-') == 10
    assert "step.failed" in html


def test_a_private_value_is_revealed_once_and_written_down(as_user, operator, dispatch):
    """X5"""
    job = dispatch()
    response = as_user(operator).post(f"/portal/jobs/{job.pk}/reveal", {"key": "api_token"})
    assert "s3cret" in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    event = JobEvent.objects.get(job=job, kind=EventKind.REVEALED)
    assert (event.actor_name, event.payload) == ("Olu Operator", {"key": "api_token"})
    assert (
        as_user(operator).post(f"/portal/jobs/{job.pk}/reveal", {"key": "hint"}).status_code == 404
    )


# --- Cancel and resend -------------------------------------------------------------------------


def test_cancel_asks_first_and_a_pending_job_never_starts(as_user, operator, dispatch):
    """D10, X10, J6"""
    job = dispatch()
    client = as_user(operator)
    url = reverse("jobs:cancel", args=[job.pk])
    assert "It has not started and never will." in client.get(url).content.decode()
    answer = client.post(url, {"next": "/portal/jobs?status=pending"}, follow=True)
    assert answer.request["QUERY_STRING"] == "status=pending"
    assert f"Job #{job.pk} is cancelled." in answer.content.decode()
    engine.run_here()
    job.refresh_from_db()
    assert (job.status, job.started_at) == ("cancelled", None)
    html = page(client, job)
    assert "Cancelled by Olu Operator before it began: nothing was done." in html
    assert (
        client.post(url, {"next": "https://evil.example/"})["Location"] == f"/portal/jobs/{job.pk}"
    )


def test_a_running_job_is_cancelling_until_it_stopped_then_force_stop(
    as_user, operator, dispatch, settings
):
    """D11, D12"""
    settings.FORCE_STOP_AFTER_SECONDS = 60
    job = dispatch()
    Job.objects.filter(pk=job.pk).update(status="running", started_at=timezone.now())
    job.batches.update(status="running", lease_owner="w1", fence=1)
    job.refresh_from_db()
    cancel(job, Actor(user=operator))
    client = as_user(operator)
    html = page(client, job)
    assert "Cancelling – asked" in html
    assert "by Olu Operator" in html
    assert "Force stop is offered from" in html
    assert f"/portal/jobs/{job.pk}/cancel" not in html
    Job.objects.filter(pk=job.pk).update(cancel_requested_at=timezone.now() - timedelta(seconds=90))
    url = reverse("jobs:force_stop", args=[job.pk])
    assert url in page(client, job)
    assert "left behind" in client.get(url).content.decode()
    client.post(url)
    job.refresh_from_db()
    assert job.status == "cancelled"
    assert "could not be reached and was cut off; a call on its way may still" in page(client, job)


def test_a_job_that_ended_meanwhile_keeps_its_result(as_user, operator, dispatch):
    """D13"""
    job = dispatch()
    engine.run_here()
    client = as_user(operator)
    url = reverse("jobs:cancel", args=[job.pk])
    assert (
        "It had already ended (completed); its result is kept." in client.get(url).content.decode()
    )
    assert "had already ended" in client.post(url, follow=True).content.decode()
    job.refresh_from_db()
    assert job.status == "completed"


def test_resend_makes_one_job_however_often_it_is_pressed(
    as_user, operator, builder, dispatch, workflow
):
    """D15, D16"""
    job = dispatch(effort="medium")
    cancel(job, Actor(user=operator))
    url = reverse("jobs:resend", args=[job.pk])
    form = as_user(operator).get(url).content.decode()
    assert '<option value="medium" selected>' in form
    answer = as_user(operator).post(url, {"effort": "max"}, headers={"X-Dialog": "1"}).json()
    made = Job.objects.get(resend_of=job)
    assert answer["message"] == f"Job #{job.pk} was resent as job #{made.pk}."
    assert (made.effort_level, made.ticket_key) == ("max", "MVP-1588")
    again = as_user(builder).post(url, {"effort": "high"}, follow=True).content.decode()
    assert "had been resent already by Olu Operator" in again
    assert Job.objects.filter(resend_of=job).count() == 1
    html = page(as_user(operator), job)
    assert "disabled>Resended</button>" in html
    assert f'Resent as <a class="link" href="/portal/jobs/{made.pk}"' in html
    assert f'href="/portal/jobs/{job.pk}"' in page(as_user(operator), made)


def test_a_runs_funnel_leads_to_exactly_those_records(
    as_user, viewer, make_spinner, make_contacts, project
):
    """R4 on the job's page: every number is a link to the records it counts."""
    make_contacts(4)
    steps = [
        {"name": "pros", "kind": "condition",
         "config": {"rows": [{"field": "contact.plan", "operator": "equals", "value": "pro"}],
                    "on_true": "continue", "on_false": "end", "on_false_outcome": "not_pro"}},
        {"name": "done", "kind": "outcome", "config": {"outcome": "pro"}},
    ]  # fmt: skip
    job = run_spinner(make_spinner(steps=steps))
    html = page(as_user(viewer), job)
    second = html.split('data-step="2"')[1].split("</div>")[0]
    assert "2 reached" in second
    assert "p50" in second
    address = f"/portal/projects/spring/jobs/{job.pk}?step=2&amp;at=reached"
    assert address in second
    records = as_user(viewer).get(address.replace("&amp;", "&")).content.decode()
    assert "Contact 1" in records
    assert "Contact 2" not in records


def test_reported_work_is_headed_by_its_own_name(as_user, viewer, project):
    build = Job.objects.create(
        team=project.team, project=project, kind="build", name="Nightly build", label="Build"
    )
    page = as_user(viewer).get(build.get_absolute_url()).content.decode()
    assert '<span class="job-heading">Nightly build</span>' in page
