"""What a job's page says of the state it is in (SPEC section 7)."""

from collections.abc import Callable
from datetime import timedelta

from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.permissions import Actor
from jobs import events
from jobs.events import EventKind
from jobs.execution.dispatch import pause_project
from jobs.models import Job, JobEvent, StepCount
from jobs.timeline import timeline_of
from projects.models import Contact, Pipeline, Project
from tests.jobs.engine_rig import launch, work_off


def test_begun_work_says_who_paused_its_project(
    as_user: Callable[[User], Client], viewer: User, operator: User, project: Project
) -> None:
    """G6: who, when and why on each affected job; what others work on no pause holds."""
    now = timezone.now()
    jobs = [
        Job.objects.create(
            team=project.team, project=project, kind=kind, label="x", name="x", status=status,
            total_count=1, started_at=now,
        )
        for kind, status in (("spinner", "running"), ("workflow", "waiting"), ("build", "running"))
    ]  # fmt: skip
    client = as_user(viewer)
    words = f"{project.name} was paused by Olu Operator"
    assert not any(words in client.get(job.get_absolute_url()).content.decode() for job in jobs)
    pause_project(project, Actor(user=operator), reason="month's end")
    for job in jobs:
        page = client.get(job.get_absolute_url()).content.decode()
        assert (words in page) == (job.kind != "build")
        assert ("month&#x27;s end" in page) == (job.kind != "build")


def test_a_runs_steps_are_drawn_as_far_as_they_are(
    make_spinner: Callable[..., Pipeline], make_contacts: Callable[..., list[Contact]]
) -> None:
    """D2, R4: what all have left is done, what only waits is waiting until now, the rest not yet."""
    make_contacts(3)
    steps = [
        {"name": "greet", "kind": "template", "config": {"field": "text", "template": "Hi"}},
        {"name": "gate", "kind": "wait", "config": {"for": "approval", "prompt": "Send?"}},
        {"name": "done", "kind": "outcome", "config": {"outcome": "sent"}},
    ]
    job = launch(make_spinner(steps=steps))
    work_off(job)
    assert job.status == "waiting"
    now = timezone.now()
    timeline = timeline_of(job, now)
    assert timeline is not None
    assert [step.state for step in timeline.steps] == ["done", "waiting", ""]
    assert timeline.steps[1].span.end == now
    StepCount.objects.filter(job=job, step=1).update(passed_count=2)
    timeline = timeline_of(job, now)
    assert timeline is not None
    assert timeline.steps[0].state == "running"


def test_an_uncertain_job_leads_to_the_decision(
    as_user: Callable[[User], Client], viewer: User, operator: User, project: Project
) -> None:
    """A force stop leaves it: whoever may decide is led to the record."""
    now = timezone.now()
    job = Job.objects.create(
        team=project.team, project=project, kind="workflow", label="x", name="x", started_at=now,
        status="cancelled", total_count=1, uncertain_count=1, completed_at=now,
    )  # fmt: skip
    address = f"/portal/projects/{project.slug}/records?run={job.pk}&amp;status=uncertain"
    for user, words in ((operator, "Decide about it"), (viewer, "Show it")):
        page = as_user(user).get(job.get_absolute_url()).content.decode()
        assert (
            f'1 record is uncertain: whether a call arrived is not known. <a class="link" href="{address}">{words}</a>'
            in page
        )


def test_a_step_that_ran_thrice_takes_as_long_as_its_bar(project: Project) -> None:
    """D2: from its first start to its last end, not its last try alone."""
    at = timezone.now() - timedelta(minutes=1)
    job = Job.objects.create(
        team=project.team, project=project, kind="workflow", label="x", name="x", status="failed",
        total_count=1, started_at=at, completed_at=at + timedelta(seconds=9),
        steps=[{"name": "call"}], step_count=1,
    )  # fmt: skip
    told = [
        (EventKind.CREATED, 0, {}), (EventKind.CLAIMED, 0, {}), (EventKind.STARTED, 0, {}),
        (EventKind.STEP_STARTED, 0, {"step": 1}),
        (EventKind.STEP_FAILED, 9, {"step": 1, "ms": 3, "attempts": 3}), (EventKind.FAILED, 9, {}),
    ]  # fmt: skip
    for kind, seconds, payload in told:
        event = events.emit(job.pk, kind, payload=payload)
        JobEvent.objects.filter(pk=event.pk).update(at=at + timedelta(seconds=seconds))
    timeline = timeline_of(job)
    assert timeline is not None
    assert (timeline.steps[0].attempts, timeline.steps[0].span.length) == (3, "9.0s")


def test_a_private_value_inside_another_is_masked_too(
    as_user: Callable[[User], Client], operator: User, project: Project
) -> None:
    """X5: on the page and over the API; a reveal is of the whole key, and is written down."""
    job = Job.objects.create(
        team=project.team, project=project, kind="workflow", label="x", name="x", status="failed",
        input={"deploy": {"host": "eu-1", "password": "s3cret"}, "calls": [{"api_key": "k3y"}],
               "plain": {"host": "eu-2"}},
    )  # fmt: skip
    client = as_user(operator)
    page = client.get(job.get_absolute_url()).content.decode()
    answer = client.get(f"/api/jobs/{job.pk}").json()
    for text in (page, str(answer["input"])):
        assert "eu-1" in text
        assert "eu-2" in text
        assert "s3cret" not in text
        assert "k3y" not in text
    assert page.count(">Reveal</button>") == 2
    reveal = f"{job.get_absolute_url()}/reveal"
    assert "s3cret" in client.post(reveal, {"key": "deploy"}).content.decode()
    assert JobEvent.objects.get(job=job).payload == {"key": "deploy"}
    assert client.post(reveal, {"key": "plain"}).status_code == 404
