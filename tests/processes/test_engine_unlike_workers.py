"""Workers that are unlike: clocks ten minutes off, in both directions, and one of a newer release."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts.permissions import SYSTEM
from jobs.execution.dispatch import dispatch_spinner
from jobs.execution.selection import Selection
from jobs.models import Job, RecordMinute, Worker
from projects.models import Pipeline
from projects.publishing import publish
from projects.steps import registry
from tests.processes import crew as rig
from tests.processes.crew import (
    ENV,
    PATIENCE,
    Crew,
    MakeContacts,
    MakeSpinner,
    Provider,
    ended,
    oracle,
    start,
    steps,
    until_done,
)
from tests.processes.portal import Portal, Template, wait_until

portal, provider, suffix = rig.portal, rig.provider, rig.suffix
pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]
COUNT = 16
OFF = 600.0


class Clocks:
    """How many seconds each worker's clock is off (skewed/sitecustomize.py)."""

    def __init__(self, folder: Path):
        self.files = {f"worker-{n}": folder / f"clock-{n}" for n in (1, 2)}
        self.set(OFF, -OFF)

    def set(self, *seconds: float) -> None:
        for file, off in zip(self.files.values(), seconds, strict=True):
            with file.open("r+b" if file.exists() else "wb") as opened:
                opened.write(struct.pack("d", off))

    @property
    def env(self) -> dict[str, dict[str, str]]:
        skewed = Path(__file__).with_name("skewed")
        env = {
            worker: {"TEST_CLOCK": str(file), "PYTHONPATH": f"{skewed}:{ENV['PYTHONPATH']}"}
            for worker, file in self.files.items()
        }
        env["worker-2"]["TEST_NEWER"] = "yes"
        return env


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Clocks:
    return Clocks(tmp_path_factory.mktemp("clocks"))


@pytest.fixture(scope="module")
def crew(
    portal_template: Template, tmp_path_factory: pytest.TempPathFactory, clocks: Clocks
) -> Iterator[Crew]:
    made = Crew(
        portal_template, tmp_path_factory.mktemp("crew"),
        env={"SPINDLE_BATCH_SIZE": "5"}, own_env=clocks.env,
    )  # fmt: skip
    try:
        with made.portal:
            yield made
    finally:
        made.end()


def send(name: str, url: str) -> dict[str, Any]:
    config = {"method": "POST", "url": url, "body_type": "json", "repeat": "ask", "body": "{}"}
    return {"name": name, "kind": "http", "config": config}


def times_of(job: Job) -> dict[str, list[datetime]]:
    """Everything the job's rows say about when."""
    records = list(job.records.all())
    entries = [entry for record in records for entry in record.journey]
    told = [entry["started_at"] for entry in entries]
    told += [note["at"] for entry in entries for note in entry["log"]]
    assert job.started_at
    assert job.completed_at
    return {
        "job": [job.created_at, job.started_at, job.completed_at],
        "records": [at for r in records for at in (r.created_at, r.started_at, r.completed_at) if at],
        "journeys": [datetime.fromisoformat(at) for at in told],
        "events": list(job.events.order_by("number").values_list("at", flat=True)),
        "batches": [b.finished_at for b in job.batches.all() if b.finished_at],
    }  # fmt: skip


def test_workers_whose_clocks_are_off_and_jump_do_nothing_early_late_or_twice(
    portal: Portal,
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    provider: Provider,
    clocks: Clocks,
) -> None:
    """F11: ± 10 min, put back and forward by 20 in mid-run; waits, back-off, pace, a start at a
    time, leases, heartbeats; and one story in the history."""
    make_contacts(COUNT)
    pipeline = [
        send("first", provider.url),
        {"name": "rest", "kind": "wait", "config": {"for": "time", "until": "1s"}},
        {"name": "busy", "kind": "flaky", "config": {}},
        send("second", provider.url),
        {"name": "end", "kind": "outcome", "config": {"outcome": "sent"}},
    ]
    spinner = make_spinner(pipeline)
    up = Worker.objects.up()
    wait_until(lambda: up.count() == 2, PATIENCE, what="both workers up")
    began = datetime.now(UTC) - timedelta(milliseconds=50)
    later = dispatch_spinner(
        make_spinner(slug="later"), SYSTEM, selection=Selection(),
        scheduled_for=began + timedelta(seconds=2),
    )  # fmt: skip
    job = dispatch_spinner(
        spinner, SYSTEM, selection=Selection(), options={"pace_per_minute": 3_600}
    )
    wait_until(lambda: len(provider.keys(job)) >= COUNT // 2, PATIENCE, what="first calls")
    clocks.set(-OFF, OFF)
    wait_until(lambda: ended(job) and ended(later), 60, what="the end of both runs")
    until = datetime.now(UTC) + timedelta(milliseconds=50)
    oracle(job)
    assert (job.done_count, later.done_count) == (COUNT, COUNT)
    assert later.started_at
    assert later.scheduled_for
    assert later.started_at >= later.scheduled_for

    assert max(provider.keys(job).values()) == 1
    at = dict(provider.calls(job))
    gaps = [at[f"{job.pk}-{n}-4"] - at[f"{job.pk}-{n}-1"] for n in range(1, COUNT + 1)]
    assert min(gaps) >= 1 + 0.5, "a second of rest, half a one that was asked for"
    for entry in job.records.values_list("journey__1", flat=True):
        assert 1_000 <= entry["ms"] < 1_000 * OFF
    for what, times in times_of(job).items():
        assert began <= min(times), what
        assert max(times) <= until, what
    told = times_of(job)["events"]
    assert told == sorted(told)
    minutes = RecordMinute.objects.filter(project=job.project).values_list("minute", flat=True)
    assert all(began - timedelta(minutes=1) <= minute <= until for minute in minutes)
    assert up.count() == 2
    assert not job.events.filter(kind="batch.lease_expired").exists()
    assert job.stalled_at is None


@pytest.fixture
def newer_kind() -> Iterator[None]:
    """This process publishes, as a web process of the newer release does."""
    registry.register("newer")(lambda record, config: {})
    yield
    registry.unregister("newer")


def names(job: Job) -> set[tuple[str, ...]]:
    """The steps that its records went through."""
    journeys = job.records.values_list("journey", flat=True)
    return {tuple(entry["name"] for entry in journey) for journey in journeys}


def test_old_and_new_workers_work_side_by_side_while_versions_change(
    portal: Portal,
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    provider: Provider,
    newer_kind: None,
) -> None:
    """F23: a run keeps its version though one without a step of it is published meanwhile; steps
    that one worker does not have are for the other, also when it has to come back first."""
    make_contacts(40)
    first = steps(provider, "ask")
    spinner = make_spinner(first)
    old = dispatch_spinner(
        spinner, SYSTEM, selection=Selection(), options={"pace_per_minute": 1_800}
    )
    until_done(old, 10)
    second = [*first[:2], {"name": "score", "kind": "newer", "config": {}}, first[3]]
    Pipeline.objects.filter(pk=spinner.pk).update(draft={"steps": second})
    publish(spinner, SYSTEM)
    new = start(spinner)
    assert not ended(old)
    wait_until(lambda: ended(old) and ended(new), PATIENCE, what="both versions' runs")
    for job, version in ((old, first), (new, second)):
        oracle(job, provider.keys(job), unsafe=True)
        assert (job.status, job.done_count) == ("completed", 40)
        assert names(job) == {tuple(step["name"] for step in version)}
    worked = set(new.records.values_list("values__worker", flat=True))
    assert worked == {portal.pids["worker-2"]}

    portal.kill_worker(2)
    Worker.objects.all().delete()  # the dead are believed up for 45 s; others come back
    again = start(spinner)
    wait_until(
        lambda: again.events.filter(kind="job.kind_missing").exists(), PATIENCE, what="a word of it"
    )
    again.refresh_from_db()
    assert (again.status, again.started_at) == ("pending", None)
    assert portal.running["worker-1"].poll() is None
    portal.start()
    wait_until(lambda: ended(again), PATIENCE, what="the run that had to wait")
    oracle(again, provider.keys(again), unsafe=True)
    assert (again.status, again.done_count) == ("completed", 40)
