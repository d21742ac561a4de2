"""Live Ops: its cards, its charts, and what stands still."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone
from kombu import Connection

from jobs import ops
from jobs.durations import bucket
from jobs.events import EventKind
from jobs.execution import broker, stalls
from jobs.models import Batch, DurationRange, Job, Record, RecordMinute, StepMinute, Worker


@pytest.fixture(autouse=True)
def no_cache():
    cache.clear()


@pytest.fixture
def make_job(team, project):
    def make(**fields) -> Job:
        return Job.objects.create(
            **{
                "team": team, "project": project, "kind": "spinner", "label": "Renewal reminder",
                "workflow_slug": "renewal-reminder", "name": "Renewal reminder",
                "status": "running", "total_count": 300, "started_at": timezone.now(),
                "last_heartbeat_at": timezone.now(), **fields,
            }
        )  # fmt: skip

    return make


def records_of(job: Job, count: int, **fields) -> None:
    Record.objects.bulk_create(
        Record(job=job, team=job.team, project=job.project, position=n + 1,
               created_at=timezone.now(), **fields)
        for n in range(count)
    )  # fmt: skip


def minute(back: int):
    return timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=back)


def histogram(ms: float, count: int = 10) -> list[int]:
    return [0] * bucket(ms) + [count]


def page_of(client, project) -> str:
    return client.get(reverse("jobs:live_ops", args=[project.slug])).content.decode()


def test_cards_say_what_their_lists_hold(as_user, viewer, project, make_job):
    """L1, L2."""
    waiting = make_job(waiting_count=120)
    make_job(status="pending", started_at=None)
    failed = make_job(status="completed", total_count=7, failed_count=7,
                      started_at=timezone.now(), completed_at=timezone.now() + timedelta(seconds=1))  # fmt: skip
    records_of(waiting, 120, status="waiting")
    records_of(failed, 7, status="failed", completed_at=timezone.now())
    RecordMinute.objects.create(project=project, minute=minute(1), done_count=405, failed_count=7)
    client = as_user(viewer)
    state = ops.read(project)
    assert (state.running, state.pending, state.waiting_records) == (1, 1, 120)
    assert (state.failed_today, state.throughput) == (7, 412)
    page = page_of(client, project)
    assert "120 waiting" in page
    assert "of 412 records" in page
    running = client.get(reverse("jobs:list"), {"project": project.slug, "status": "running"})
    assert "1 job" in running.content.decode()


def test_without_a_worker_it_says_how_to_start_one(as_user, viewer, project):
    page = page_of(as_user(viewer), project)
    assert "No worker is up" in page
    assert "uv run manage.py up" in page
    Worker.objects.create(name="worker-1@vm", host="vm", pid=1)
    page = page_of(as_user(viewer), project)
    assert "Runtime up · 1 worker" in page
    assert "uv run manage.py up" not in page


def test_a_worker_is_shown_with_this_teams_work_alone(
    as_user, viewer, project, other_project, make_job
):
    """X1: workers serve all teams; not even the number of another team's job shows."""
    mine = make_job()
    foreign = make_job(team=other_project.team, project=other_project, label="Secret plan")
    worker = Worker.objects.create(
        name="worker-1@vm", host="vm", pid=1, doing=f"job #{foreign.pk}, job #{mine.pk}"
    )
    for job in (mine, foreign):
        Batch.objects.create(
            job=job, team=job.team, number=1, record_count=1, status="running",
            lease_owner=worker.name,
        )  # fmt: skip
    page = page_of(as_user(viewer), project)
    assert f"Renewal reminder #{mine.pk}</a>" in page
    assert f"#{foreign.pk}" not in page
    assert "Secret plan" not in page


def test_an_empty_queue_is_no_broker_that_is_away(monkeypatch, as_user, viewer, project):
    """Redis forgets a queue with its last message; asked for it, it answers with an error."""
    monkeypatch.setattr(
        broker.app, "connection_for_read", lambda **_: Connection("memory://nobody-declared-it")
    )
    assert broker.broker_state() == {"is_up": True, "depth": 0, "error": ""}
    assert "Broker answers · 0 hints in it" in page_of(as_user(viewer), project)


def test_a_silent_job_is_marked_and_cleared_and_the_gap_kept(as_user, viewer, project, make_job):
    """L5, L9."""
    job = make_job(last_heartbeat_at=timezone.now() - timedelta(minutes=5), agent_name="pool-eu")
    stalls.mark()
    job.refresh_from_db()
    assert job.stalled_at is not None
    page = page_of(as_user(viewer), project)
    assert "last heartbeat" in page
    assert "then on pool-eu" in page
    listed = as_user(viewer).get(reverse("jobs:list"), {"stalled": "true"}).content.decode()
    assert "1 job" in listed
    stalls.mark()  # a second sweep says nothing twice

    Job.objects.filter(pk=job.pk).update(last_heartbeat_at=timezone.now() + timedelta(seconds=1))
    stalls.mark()
    job.refresh_from_db()
    assert job.stalled_at is None
    kinds = list(job.events.order_by("number").values_list("kind", flat=True))
    assert kinds == [EventKind.STALLED, EventKind.HEARTBEAT_BACK]


def test_a_slow_job_is_told_apart_from_a_silent_one(
    as_user, viewer, project, make_job, make_spinner
):
    """L6: heard of, but far beyond what is usual for its workflow, effort and size."""
    spinner = make_spinner()
    for effort, seconds in (("high", 0.1), ("max", 60)):
        DurationRange.objects.create(
            pipeline=spinner, effort_level=effort, sample_count=9, low_seconds=10,
            high_seconds=20, record_low_seconds=seconds / 2, record_high_seconds=seconds,
        )  # fmt: skip
    long = {"pipeline": spinner, "started_at": timezone.now() - timedelta(minutes=10)}
    slow = make_job(effort_level="high", **long)
    make_job(effort_level="max", **long)
    silent = make_job(stalled_at=timezone.now(), last_heartbeat_at=None)
    page = page_of(as_user(viewer), project)
    still = {(run.job.pk, run.is_silent): run.evidence for run in ops.read(project).still}
    assert still == {
        (slow.pk, False): "usually 15–30 s at effort HIGH",
        (silent.pk, True): "no worker has been heard of on it",
    }
    assert page.count(">SLOW<") == page.count(">SILENT<") == 1


def test_without_a_history_a_fixed_limit_holds_and_is_said(
    as_user, viewer, project, make_job, settings
):
    """L7: an hour, or a second a record; on Live Ops, and on the job's page."""
    settings.SLOW_AFTER_SECONDS = 3_600
    ago = timezone.now() - timedelta(minutes=61)
    slow = make_job(started_at=ago)
    large = make_job(started_at=ago, total_count=10_000)
    make_job(kind="build", started_at=ago)  # what others report may take as long as it likes
    client = as_user(viewer)
    page = page_of(client, project)
    assert "over the fixed limit of 60 min: too few have ended to know what is usual" in page
    assert "usual for 2 of the running jobs: a fixed limit holds, 60 min or a second" in page
    assert [run.job.pk for run in ops.read(project).still] == [slow.pk]
    told = "over the fixed limit of 60 min; too few have ended to know what is usual"
    assert told in client.get(slow.get_absolute_url()).content.decode()
    assert told not in client.get(large.get_absolute_url()).content.decode()


def test_a_step_that_became_slower_is_pointed_out(project, make_spinner):
    spinner = make_spinner()
    common = {"project": project, "pipeline": spinner, "step_name": "send", "count": 10}
    StepMinute.objects.create(
        **common, minute=minute(120), total_ms=1_000, histogram=histogram(100)
    )
    for back in range(9, 0, -1):
        slow = back <= 4
        StepMinute.objects.create(
            **common, minute=minute(back), total_ms=1_000,
            histogram=histogram(400 if slow else 100),
        )  # fmt: skip
    chart = ops.read(project).steps[0]
    assert chart.slower_since == minute(4)
    assert chart.slower_by_ms == pytest.approx(300, rel=0.3)
    assert chart.latest_p50 is not None
    assert chart.latest_p50 < (chart.latest_p95 or 0)


def test_the_queries_do_not_grow_with_the_rows(project, make_job, django_assert_max_num_queries):
    for _ in range(12):
        records_of(make_job(waiting_count=5), 20, status="waiting")
    cache.clear()
    with django_assert_max_num_queries(16):
        ops.read(project)


def test_a_poll_is_answered_with_the_fragment_alone(as_user, viewer, project):
    url = reverse("jobs:live_ops", args=[project.slug])
    page = as_user(viewer).get(url, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page
    assert 'data-seconds="30"' in page
