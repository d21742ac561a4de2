"""The project's Jobs page: two panes, each state with its own address."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import Job, Record, StepCount, Worker
from jobs.templatetags.runs import progress_bar
from projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_run(project, make_spinner):
    """`make_run(done=3, failed=1, total=10)`: a run whose counters and records agree."""
    spinner = make_spinner()

    def make(*, total=10, status="running", **counts):
        fields = {k: counts.pop(k) for k in list(counts) if not k.endswith("_count")}
        now = timezone.now()
        run = Job.objects.create(
            team=project.team, project=project, kind="spinner", pipeline=spinner,
            version=spinner.current_version, workflow_slug=spinner.slug, label=spinner.name,
            name=spinner.name, status=status, total_count=total, planned_count=total,
            steps=[{"name": s["name"], "kind": s["kind"]} for s in spinner.current_version.steps],
            started_at=now - timedelta(minutes=4), created_by_name="Mira K.", **counts, **fields,
        )  # fmt: skip
        words = {"done": "completed"}
        statuses = [
            words.get(name.removesuffix("_count"), name.removesuffix("_count"))
            for name, count in counts.items()
            for _ in range(count)
        ]
        statuses += ["pending"] * (total - len(statuses))
        Record.objects.bulk_create(
            Record(
                job=run, team=run.team, project=project, pipeline=spinner, position=n,
                status=status, contact_name=f"Contact {n}", contact_email=f"c{n}@example.com",
                created_at=now, error="HTTP 422" if status == "failed" else "",
                cause="HTTP 422" if status == "failed" else "",
                error_step=1 if status == "failed" else 0,
                outcome="sent" if status == "completed" else "",
                wait_kind="approval" if status == "waiting" else "",
                started_at=now, active_ms=412.0,
                completed_at=now if status in ("completed", "failed", "skipped") else None,
            )
            for n, status in enumerate(statuses, start=1)
        )  # fmt: skip
        return run

    return make


def url(project, run=None, **params):
    args = [project.slug, run.pk] if run else [project.slug]
    return reverse("jobs:runs", args=args, query=params or None)


def test_shows_the_newest_run_and_its_records(as_user, viewer, project, make_run):
    make_run()
    newest = make_run(done_count=3, failed_count=1)
    page = as_user(viewer).get(url(project)).content.decode()
    assert f"run #{newest.pk}" in page
    assert "4 of 10" in page
    assert "c1@example.com" in page
    assert "1–10 of 10 records" in page
    assert "Start a run" not in page  # a viewer reads


def test_counts_always_sum_to_the_total(as_user, viewer, project, make_run):
    """R1: done + failed + skipped + cancelled + uncertain + waiting + to do = total."""
    run = make_run(
        total=20, done_count=4, failed_count=3, waiting_count=2, uncertain_count=1,
        skipped_count=5, cancelled_count=1,
    )  # fmt: skip
    shares = as_user(viewer).get(url(project, run)).context["shares"]
    assert sum(share.count for share in shares) == run.total_count
    assert {s.status: s.count for s in shares}["queued"] == 4


@pytest.mark.parametrize(
    ("status", "expected"), [("failed", 3), ("waiting", 2), ("completed", 4), ("unprocessed", 3)]
)
def test_each_number_leads_to_its_records(as_user, viewer, project, make_run, status, expected):
    run = make_run(total=10, done_count=4, failed_count=3, waiting_count=2)
    response = as_user(viewer).get(url(project, run, status=status))
    assert len(response.context["records"]) == expected
    assert response.context["record_count"] == expected


def test_a_completed_run_with_failures_says_so(as_user, viewer, project, make_run):
    """R2: completed is said with what failed; a link leads to exactly those."""
    doubtful = make_run(status="completed", done_count=7, uncertain_count=3,
                        completed_at=timezone.now())  # fmt: skip
    assert "3 uncertain</span>" in as_user(viewer).get(url(project, doubtful)).content.decode()
    run = make_run(status="completed", done_count=8, failed_count=2, completed_at=timezone.now())
    page = as_user(viewer).get(url(project, run)).content.decode()
    assert "2 failed" in page
    assert "2 records failed" in page
    assert "?status=failed" in page


def test_a_run_that_ended_early_says_what_is_unprocessed(as_user, viewer, project, make_run):
    """R2"""
    run = make_run(status="failed", done_count=1, failed_count=2, error="5% failures",
                   completed_at=timezone.now())  # fmt: skip
    client = as_user(viewer)
    page = client.get(url(project, run)).content.decode()
    assert "7 unprocessed" in page
    shown = client.get(url(project, run, status="unprocessed")).context["records"]
    assert len(shown) == 7


def test_a_stopped_run_says_what_is_unprocessed(as_user, viewer, project, make_run):
    """R2: what a stop or a cancel closed is no work done; the link leads to exactly those."""
    run = make_run(status="failed", total=9, done_count=2, failed_count=3, cancelled_count=4,
                   error="5% failures", completed_at=timezone.now())  # fmt: skip
    client = as_user(viewer)
    page = client.get(url(project, run)).content.decode()
    assert "5 of 9 · 3 failed" in page
    assert page.count("4 unprocessed") == 2  # its row and its header
    assert "?status=cancelled" in page
    cancelled = client.get(url(project, run, status="cancelled")).context["records"]
    assert len(cancelled) == 4
    listed = client.get(reverse("jobs:list")).content.decode()
    assert "5 of 9 contacts" in listed


def test_a_pending_run_says_why(as_user, viewer, project, make_run):
    """D4, SPEC 1: in its row and on its page, whatever else is shown."""
    first, second = make_run(status="pending"), make_run(status="pending")
    Job.objects.update(started_at=None)
    Worker.objects.create(name="w1", host="h", pid=1)
    page = shown(as_user(viewer), url(project, first))
    assert page.count("Next to start; place 1 in the queue.") == 2
    assert page.count("In line; place 2 in the queue.") == 1
    assert f"run #{second.pk}" not in page


def test_a_record_under_way_says_since_when(as_user, viewer, project, make_run):
    """R5: not how long its finished steps took; from the return where the run rested."""
    run = make_run(total=2)
    now = timezone.now()
    journey = [{"step": 1, "name": "compose", "kind": "template", "status": "running",
                "started_at": (now - timedelta(seconds=92)).isoformat()}]  # fmt: skip
    Record.objects.update(
        status="running", started_at=now - timedelta(seconds=95), active_ms=0.04, journey=journey
    )
    client = as_user(viewer)
    page = shown(client, url(project, run))
    assert page.count("1m 35s") + page.count("1m 36s") == 2
    record = reverse("jobs:record", args=[project.slug, run.records.first().pk])
    page = shown(client, record)
    assert "so far" in page
    assert "1m 32s" in page or "1m 33s" in page
    Job.objects.filter(pk=run.pk).update(resumed_at=now - timedelta(seconds=5))
    assert "1m 3" not in shown(client, url(project, run))


def test_contacts_never_begun_are_explained(as_user, viewer, project, make_run):
    """R1: cancelled before it came to them, they are counted but have no record."""
    run = make_run(total=3, status="cancelled", done_count=3, completed_at=timezone.now())
    Job.objects.filter(pk=run.pk).update(total_count=9, cancelled_count=6, planned_count=3)
    client = as_user(viewer)
    page = client.get(url(project, run, status="cancelled")).content.decode()
    assert "before it came to them: 6 contacts" in page
    assert "before it came to 6 of them" in client.get(url(project, run)).content.decode()


def test_the_funnel_leads_to_records(as_user, viewer, project, make_run):
    """R4"""
    run = make_run(done_count=3, failed_count=1)
    StepCount.objects.create(job=run, step=1, reached_count=4, passed_count=3, failed_count=1)
    client = as_user(viewer)
    assert "?step=1&amp;at=failed" in client.get(url(project, run)).content.decode()
    response = client.get(url(project, run, step=1, at="failed"))
    assert [r.status for r in response.context["records"]] == ["failed"]


def test_speed_says_when_there_is_not_enough(as_user, viewer, project, make_run):
    """R3"""
    client = as_user(viewer)
    few = make_run(done_count=3)
    assert "not enough data yet" in client.get(url(project, few)).content.decode()
    many = make_run(total=100, done_count=60)
    speed = client.get(url(project, many)).context["speed"]
    assert speed.average == pytest.approx(60 / 240, rel=0.1)
    assert speed.now > 0
    assert speed.ends_at > timezone.now()


def test_no_worker_is_said_and_how_to_start_one(as_user, viewer, project, make_run):
    run = make_run()
    client = as_user(viewer)
    assert "No worker is up" in client.get(url(project, run)).content.decode()
    Worker.objects.create(name="w1", host="h", pid=1)
    assert "No worker is up" not in client.get(url(project, run)).content.decode()


@pytest.mark.parametrize(
    ("target", "has_runs", "has_records"),
    [("run-records", False, True), ("runs", True, False), ("run-panes", True, True)],
)
def test_fragments_hold_their_pane_alone(
    as_user, viewer, project, make_run, target, has_runs, has_records
):
    """J3: page and fragment from one view, at one address."""
    run = make_run()
    response = as_user(viewer).get(
        url(project, run), headers={"HX-Request": "true", "HX-Target": target}
    )
    page = response.content.decode()
    assert "<html" not in page
    assert ('id="runs"' in page) is has_runs
    assert ('id="run-records"' in page) is has_records
    assert "HX-Target" in response["Vary"]


def test_a_history_restore_gets_the_whole_page(as_user, viewer, project, make_run):
    headers = {
        "HX-Request": "true", "HX-Target": "run-records", "HX-History-Restore-Request": "true",
    }  # fmt: skip
    page = as_user(viewer).get(url(project, make_run()), headers=headers).content.decode()
    assert "<html" in page


def test_runs_and_records_page_by_key(as_user, viewer, project, make_run, monkeypatch):
    monkeypatch.setattr("jobs.views.runs.RUNS_A_PAGE", 2)
    monkeypatch.setattr("jobs.views.runs.RECORDS_A_PAGE", 4)
    runs = [make_run() for _ in range(3)]
    client = as_user(viewer)
    first = client.get(url(project, runs[0]))
    assert [r.pk for r in first.context["runs"]] == [runs[2].pk, runs[1].pk]
    second = client.get(url(project, runs[0], runs_after=first.context["runs"].after, after="4"))
    assert [r.pk for r in second.context["runs"]] == [runs[0].pk]
    assert [r.position for r in second.context["records"]] == [5, 6, 7, 8]


def test_query_count_does_not_grow(
    as_user, viewer, project, make_run, django_assert_max_num_queries
):
    for _ in range(4):
        run = make_run(total=30, done_count=20)
    client = as_user(viewer)
    with django_assert_max_num_queries(18):
        client.get(url(project, run))


def test_a_run_of_another_project_is_not_found(as_user, viewer, team, project, make_run):
    run = make_run()
    other = Project.objects.create(team=team, name="Other", slug="other")
    assert as_user(viewer).get(url(other, run)).status_code == 404


def test_the_bar_draws_what_there_is():
    bar = progress_bar(Job(total_count=5000, done_count=1839, failed_count=3))
    assert 'aria-label="1,839 done, 3 failed, 3,158 to do"' in bar
    assert 'class="failed" x="367.8" width="4.0"' in bar


def test_only_a_run_with_one_before_it_offers_the_comparison(as_user, viewer, project, make_run):
    first, second = make_run(total=1), make_run(total=1)
    assert "Compare with the run before" not in shown(as_user(viewer), url(project, first))
    assert "Compare with the run before" in shown(as_user(viewer), url(project, second))


def shown(client, address):
    return client.get(address).content.decode()


def test_a_cancelled_run_is_not_offered_what_would_be_refused(as_user, operator, project, make_run):
    """Its failed records run again in a new run, never in one that people stopped."""
    for status, is_offered in (("completed", True), ("cancelled", False)):
        run = make_run(total=1, failed_count=1, status=status)
        record = reverse("jobs:record", args=[project.slug, run.records.get().pk])
        assert ("Retry failed" in shown(as_user(operator), url(project, run))) is is_offered
        assert ("Retry from step" in shown(as_user(operator), record)) is is_offered
