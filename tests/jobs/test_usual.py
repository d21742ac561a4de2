"""How long jobs usually take (SPEC section 9)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.permissions import Actor
from jobs import events, ops, usual
from jobs.catalogue import ROWS
from jobs.events import EventKind
from jobs.execution import pausing
from jobs.live import facts, words
from jobs.models import Batch, DurationRange, Job, JobEvent, JobType
from jobs.models.jobs import JobKind
from jobs.querysets.plain import columns_of, listed
from jobs.rows import rows_of


def make_jobs(project, pipeline, lengths, *, total=1, **fields):
    now = timezone.now()
    return [
        Job.objects.create(
            **{
                "team": project.team, "project": project, "kind": JobKind.WORKFLOW,
                "pipeline": pipeline, "workflow_slug": "se-work", "label": "SE Work",
                "name": "se-work — queued", "status": "completed", "total_count": total,
                "done_count": total, "started_at": now - timedelta(seconds=length),
                "completed_at": now, **fields,
            }
        )
        for length in lengths
    ]  # fmt: skip


def test_catalogue_holds_every_job_type_of_the_portal(db):
    assert set(JobType.objects.values_list("slug", flat=True)) == {row.slug for row in ROWS}
    gate = JobType.objects.get(slug="validating-gate")
    assert (gate.mode, gate.label, gate.agent_label) == (
        "Deploy",
        "Validating Gate",
        "Deploy Agent",
    )
    assert (gate.typical_min_seconds, gate.typical_max_seconds) == (30, 300)
    assert JobType.objects.get(slug="developing-task").is_coding_task


def test_learns_p10_to_p90_without_corrected_jobs(project, make_spinner):
    pipeline = make_spinner()
    make_jobs(project, pipeline, range(100, 200, 10))
    make_jobs(project, pipeline, [9_999], is_corrected=True)
    learned = usual.learn(pipeline.pk, "")
    assert learned is not None
    assert (round(learned.low_seconds), round(learned.high_seconds)) == (109, 181)
    assert (learned.sample_count, learned.corrected_count) == (10, 1)
    job = make_jobs(project, pipeline, [500], status="running", completed_at=None, done_count=0)[0]
    assert usual.is_stalled(job)
    assert usual.stalled_ids(Job.objects.running()) == [job.pk]
    # An approval that came a minute ago: hours of waiting are no work.
    Job.objects.filter(pk=job.pk).update(resumed_at=timezone.now() - timedelta(minutes=1))
    assert usual.stalled_ids(Job.objects.running()) == []
    assert not usual.is_stalled(Job.objects.get(pk=job.pk))


def test_learned_lengths_leave_waits_out(project, make_spinner):
    """Five hours for an approval, or between an end and a retry, are nobody's work."""
    pipeline = make_spinner()
    jobs = make_jobs(project, pipeline, [5 * 3600 + 60] * 6, resumed_at=timezone.now())
    for job in jobs[:5]:
        rest = EventKind.WAITING if job.pk % 2 else EventKind.COMPLETED
        back = EventKind.RESUMED if job.pk % 2 else EventKind.RETRIED
        for kind, seconds in ((rest, 30), (back, 30 + 5 * 3600), (EventKind.COMPLETED, 18_060)):
            event = events.emit(job.pk, kind, "")
            JobEvent.objects.filter(pk=event.pk).update(
                at=job.started_at + timedelta(seconds=seconds)
            )
    # Of the sixth the history is gone: how long it waited nobody knows.
    Job.objects.filter(pk=jobs[5].pk).update(events_pruned_at=timezone.now())
    learned = usual.learn(pipeline.pk, "")
    assert learned is not None
    assert (round(learned.low_seconds), round(learned.high_seconds)) == (60, 60)
    assert learned.sample_count == 5


def test_a_pause_is_no_work_and_no_stall(project, make_spinner, operator):
    """Held jobs are not stalled, and resuming starts their clock anew; what others report, and
    work that is in hand, no pause holds."""
    pipeline = make_spinner()
    make_jobs(project, pipeline, [60] * 5)
    usual.learn(pipeline.pk, "")
    running = {"status": "running", "completed_at": None, "done_count": 0}
    held, busy = make_jobs(project, pipeline, [600] * 2, **running)
    reported = make_jobs(project, pipeline, [600], kind=JobKind.BUILD, **running)[0]
    Batch.objects.create(job=busy, team=project.team, number=1, record_count=1, status="running")

    assert stalled_in(project) == {held.pk, busy.pk, reported.pk}
    pausing.pause_project(project, Actor(user=operator), reason="month's end")
    assert stalled_in(project) == {reported.pk}
    project.refresh_from_db()
    pausing.resume_project(project, Actor(user=operator))
    assert stalled_in(project) == {busy.pk, reported.pk}
    told = JobEvent.objects.filter(kind=EventKind.UNPAUSED).values_list("job_id", "payload")
    assert dict(told) == {held.pk: {"rested": True}, busy.pk: {}, reported.pk: {}}


def test_lists_pages_and_indicator_agree_on_what_is_late(project, make_spinner):
    """S10, SPEC 9: by the run's size, by a fixed limit without history, never by its pace."""
    pipeline = make_spinner()
    make_jobs(project, pipeline, [10] * 6, total=100, kind=JobKind.SPINNER)
    usual.learn(pipeline.pk, "")
    running = {"kind": JobKind.SPINNER, "status": "running", "completed_at": None, "done_count": 0}
    late = make_jobs(project, pipeline, [100], total=100, **running)
    make_jobs(project, pipeline, [100], total=5_000, **running)
    make_jobs(project, pipeline, [100], total=100, options={"pace_per_minute": 60}, **running)
    unknown = dict(running)
    late += make_jobs(project, None, [3_700], total=100, **unknown)
    make_jobs(project, None, [3_500], total=100, **unknown)
    late += make_jobs(project, None, [5], total=100, stalled_at=timezone.now(), **unknown)
    wanted = {job.pk for job in late}
    assert stalled_in(project) == wanted
    told = [fact for fact in facts.load_active([project.team_id]) if fact["id"] in wanted]
    assert {words.who_text(fact, _now_ms()).split(" · ")[-1] for fact in told} == {
        "usually 10s–10s", "over 60m; what is usual is not known yet", "nothing heard of it",
    }  # fmt: skip


def stalled_in(project) -> set[int]:
    """What may be stalled, on which filter, page, row, Live Ops and indicator agree."""
    every = set(usual.stalled_ids(Job.objects.running()))
    alone = {job.pk for job in Job.objects.running() if usual.is_stalled(job)}
    listed_jobs = listed(columns_of(Job.objects.running()))
    rows = {row.id for row in rows_of(listed_jobs, {}) if row.note}
    ops_ones = {still.job.pk for still in ops.read(project).still}
    told = facts.load_active([project.team_id])
    indicator = {fact["id"] for fact in told if words.is_stalled(fact, _now_ms())}
    assert every == alone == rows == ops_ones == indicator
    return every


def _now_ms() -> int:
    return round(timezone.now().timestamp() * 1000)


def test_learned_lengths_leave_pauses_out(project, make_spinner):
    """Two minutes of work, five hours of pause, an approval in the middle of it counted once."""
    pipeline = make_spinner()
    length = 5 * 3600 + 120
    jobs = make_jobs(project, pipeline, [length] * 7, resumed_at=timezone.now())
    hour = 3600
    rested = {"rested": True}
    waited = [(EventKind.WAITING, 60, {}), (EventKind.PAUSED, hour, {}),
              (EventKind.RESUMED, 2 * hour, {}), (EventKind.UNPAUSED, 5 * hour + 60, rested)]  # fmt: skip
    paused = [(EventKind.PAUSED, 60, {}), (EventKind.UNPAUSED, 5 * hour + 60, rested)]
    for number, job in enumerate(jobs[:5]):
        for kind, seconds, payload in waited if number % 2 else paused:
            event = events.emit(job.pk, kind, payload=payload)
            at = job.started_at + timedelta(seconds=seconds)
            JobEvent.objects.filter(pk=event.pk).update(at=at)
    # The sixth's pause nobody wrote down; the seventh worked through it.
    Job.objects.filter(pk=jobs[6].pk).update(resumed_at=None)
    for kind in (EventKind.PAUSED, EventKind.UNPAUSED):
        events.emit(jobs[6].pk, kind)
    learned = usual.learn(pipeline.pk, "")
    assert learned is not None
    assert learned.sample_count == 6
    assert round(learned.low_seconds) == 120
    known = DurationRange.objects.get(pipeline=pipeline)
    assert round(known.record_seconds or 0) == 120


def test_too_few_jobs_leave_the_catalogue_in_force(project, make_spinner):
    pipeline = make_spinner()
    make_jobs(project, pipeline, [1, 2, 3, 4])
    assert usual.learn(pipeline.pk, "") is None
    gate = JobType.objects.get(slug="validating-gate")
    job = make_jobs(project, pipeline, [700], status="running", completed_at=None, done_count=0,
                    job_type=gate)[0]  # fmt: skip
    known = usual.usual_range(job)
    assert known is not None
    assert known.words == "30 s–5 min"
    assert usual.is_stalled(job)


def test_a_run_of_another_size_is_foretold_by_seconds_a_record(project, make_spinner):
    pipeline = make_spinner()
    make_jobs(project, pipeline, [10] * 6, total=100, kind=JobKind.SPINNER)
    usual.learn(pipeline.pk, "")
    job = make_jobs(project, pipeline, [0], total=1_000, kind=JobKind.SPINNER, done_count=0,
                    status="running", completed_at=None)[0]  # fmt: skip
    known = usual.usual_range(job)
    assert known is not None
    assert round(known.high_seconds) == 100


def test_corrections_that_take_the_ground_away_take_the_range_away(project, make_spinner):
    pipeline = make_spinner()
    jobs = make_jobs(project, pipeline, [5] * 5)
    usual.learn(pipeline.pk, "")
    Job.objects.filter(pk=jobs[0].pk).update(is_corrected=True)
    assert usual.learn(pipeline.pk, "", at_once=True) is None
    assert not DurationRange.objects.exists()


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (120, 240, "2–4 min"), (30, 90, "30–90 s"), (45.2, 45.3, "45 s"), (600, 1500, "10–25 min"),
        (0.1, 0.4, "under 1 s"), (3600 * 2, 3600 * 5, "2–5 h"), (0.2, 8, "under 1–8 s"),
        (60, 600, "1–10 min"), (90, 600, "1.5–10 min"), (30, 300, "30 s–5 min"), (3600, 7200, "1–2 h"),
    ],
)  # fmt: skip
def test_ranges_in_words(low, high, words):
    assert usual.Range(low, high).words == words
