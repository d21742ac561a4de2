"""A run's speed, and when it is likely to end."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs import events
from jobs.events import EventKind
from jobs.models import Job, JobEvent, Record
from jobs.progress import NOTHING_ENDS, PAUSED, TOO_EARLY, speed_of

pytestmark = pytest.mark.django_db
HOUR = 3600


@pytest.fixture
def make_run(project):
    """`make_run(started=600, ended=[30, 20, 10], total=100)`: seconds ago; `ended` of records."""

    def make(*, started, ended=(), total=1_000, told=(), **fields):
        now = timezone.now()
        run = Job.objects.create(
            **{
                "team": project.team, "project": project, "kind": "spinner", "label": "Nurture",
                "workflow_slug": "nurture", "name": "Nurture", "status": "running",
                "total_count": total, "planned_count": total, "done_count": len(ended),
                "started_at": now - timedelta(seconds=started), **fields,
            }
        )  # fmt: skip
        Record.objects.bulk_create(
            Record(
                job=run, team=run.team, project=project, position=n, status="completed",
                created_at=now, completed_at=now - timedelta(seconds=ago),
            )
            for n, ago in enumerate(ended, start=1)
        )  # fmt: skip
        for kind, ago, payload in told:
            event = events.emit(run.pk, kind, payload=payload)
            JobEvent.objects.filter(pk=event.pk).update(at=now - timedelta(seconds=ago))
        made = Job.objects.select_related("project").get(pk=run.pk)
        made.made_at = now
        return made

    return make


def seen(run):
    """As of the moment it was made, however busy the machine has been since."""
    return speed_of(run, run.made_at)


def left(run) -> float:
    ends_at = seen(run).ends_at
    assert ends_at is not None
    return (ends_at - run.made_at).total_seconds()


def every(seconds, count, *, until=0.0):
    """So many records, one each `seconds`, the last of them `until` seconds ago."""
    return [until + seconds * n for n in range(count)]


def test_a_pause_does_not_put_off_the_likely_end(make_run):
    """R3: two minutes of work at one a second, five hours of pause, ten seconds since."""
    back = timezone.now() - timedelta(seconds=10)
    run = make_run(
        started=5 * HOUR + 130, ended=[*every(1, 120, until=5 * HOUR + 10), *every(1, 10)],
        total=730, resumed_at=back,
        told=[(EventKind.PAUSED, 5 * HOUR + 10, None), (EventKind.UNPAUSED, 10, {"rested": True})],
    )  # fmt: skip
    assert seen(run).average == pytest.approx(1, rel=0.05)
    assert left(run) == pytest.approx(600, rel=0.1)


def test_a_wait_for_people_does_not_put_off_the_likely_end(make_run):
    """R3: right after the return the speed before the wait speaks, over the time worked."""
    run = make_run(
        started=9 * HOUR, ended=every(0.5, 200, until=9 * HOUR - 100), total=400,
        resumed_at=timezone.now() - timedelta(seconds=1),
        told=[(EventKind.WAITING, 9 * HOUR - 100, None), (EventKind.RESUMED, 1, None)],
    )  # fmt: skip
    assert seen(run).now is None
    assert left(run) == pytest.approx(100, rel=0.05)


def test_without_the_history_of_its_rests_the_recent_speed_speaks(make_run):
    """R3: where nobody knows how long it rested, no average is made up."""
    run = make_run(
        started=9 * HOUR, ended=every(1, 20), total=120, events_pruned_at=timezone.now(),
        resumed_at=timezone.now() - timedelta(seconds=20),
    )  # fmt: skip
    assert seen(run).average is None
    assert left(run) == pytest.approx(100, rel=0.1)
    few = make_run(
        started=9 * HOUR, ended=every(1, 3), resumed_at=timezone.now() - timedelta(seconds=20)
    )
    assert seen(few).unknown == TOO_EARLY


def test_what_is_slow_now_counts_more_than_what_was_fast(make_run):
    """R3: a thousand in the first minutes, one a second of late."""
    run = make_run(started=HOUR, ended=[*every(0.1, 500, until=1_800), *every(1, 60)], total=860)
    assert left(run) == pytest.approx(300, rel=0.1)


def test_the_speed_of_a_fast_run_is_that_of_the_last_seconds(make_run, monkeypatch):
    """R3: batches end at once, hundreds in the same instant."""
    monkeypatch.setattr("jobs.progress.FEW_TO_COUNT", 100)
    ended = [n + 0.5 for n in range(20) for _ in range(50 if n < 5 else 100)]
    speed = seen(make_run(started=20, ended=ended, total=12_500))
    assert speed.now == pytest.approx(50, rel=0.25)
    assert speed.average == pytest.approx(87.5, rel=0.05)


def test_records_minutes_apart_are_foretold_by_their_average(make_run):
    """R3: none ended within the last minute, and none had to."""
    run = make_run(started=2_400, ended=every(120, 20, until=90), total=50)
    assert left(run) == pytest.approx(3_600, rel=0.1)


def test_it_says_why_an_end_is_not_known(make_run, project, as_user, viewer):
    """R3: "not enough data yet", a pause, a run in which nothing ends any more."""
    early = make_run(started=600, ended=every(1, 3))
    stuck = make_run(started=900, ended=every(1, 300, until=600))
    assert [seen(run).unknown for run in (early, stuck)] == [TOO_EARLY, NOTHING_ENDS]
    client = as_user(viewer)
    pages = [reverse("jobs:detail", args=[early.pk])]
    pages += [reverse("jobs:runs", args=[project.slug, early.pk])]
    assert all(TOO_EARLY in client.get(page).content.decode() for page in pages)

    type(project).objects.filter(pk=project.pk).update(
        paused_at=timezone.now() - timedelta(seconds=600)
    )
    paused = make_run(started=1_600, ended=every(1, 500, until=600))
    assert seen(paused).unknown == PAUSED
    assert seen(paused).average == pytest.approx(0.5, rel=0.02)
    page = client.get(reverse("jobs:runs", args=[project.slug, paused.pk])).content.decode()
    assert PAUSED in page


def test_a_short_run_has_an_average_of_what_it_did(make_run):
    """R3: what a stop left undone was nobody's work."""
    run = make_run(
        started=2, ended=every(0.01, 6), total=10, cancelled_count=4, status="failed",
        completed_at=timezone.now(),
    )  # fmt: skip
    assert seen(run).average == pytest.approx(3, rel=0.1)
    waiting = make_run(
        started=HOUR, ended=every(1, 60, until=HOUR - 60), status="waiting",
        wait_began_at=timezone.now() - timedelta(seconds=HOUR - 60),
    )  # fmt: skip
    assert seen(waiting).average == pytest.approx(1, rel=0.05)
