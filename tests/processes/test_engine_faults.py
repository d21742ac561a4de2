"""Real workers, killed, frozen, poisoned; a provider in its own process that logs every key.

The oracle: every record has exactly one outcome, the counters equal a recount, and no unsafe
key was seen twice.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts.permissions import SYSTEM
from jobs.execution.dispatch import dispatch_spinner
from jobs.execution.selection import Selection
from jobs.models import Batch, Job, LateReport
from jobs.tasks import run_batches, sweep
from projects.models import Contact, Pipeline, Project
from tests.processes.portal import Portal, free_port, wait_until

# Deadlines are for a machine that is busy with other things; waits end as soon as they can.
PATIENCE = 200
pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]
ENV = {
    "SPINDLE_LEASE_SECONDS": "2",
    "SPINDLE_HANG_SECONDS": "2",
    "SPINDLE_BATCH_SIZE": "100",
    "SPINDLE_INTERNAL_HOSTS": "127.0.0.1",
    "SPINDLE_APPS": "tests.processes.steps_app",
    "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    "TEST_POISON": "c-37",
    "TEST_HANG": "c-53",
}
WITH_WORKERS = pytest.mark.parametrize(
    "portal", [{"workers": 2, "web": False, "env": ENV}], indirect=True
)


class Provider:
    def __init__(self, folder: Path, delay_ms: int):
        self.port, self.log = free_port(), folder / "provider.log"
        script = Path(__file__).with_name("provider.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), str(self.log), str(delay_ms)]
        )
        self.url = f"http://127.0.0.1:{self.port}/send"
        wait_until(self.log.exists)

    def keys(self) -> Counter[str]:
        lines = self.log.read_text().splitlines()
        return Counter(line.split()[1] for line in lines if " " in line)


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    made = Provider(tmp_path, 30)
    yield made
    made.process.kill()
    made.process.wait()


def steps(provider: Provider, repeat: str) -> list[dict[str, Any]]:
    return [
        {"name": "compose", "kind": "template",
         "config": {"field": "message", "template": "Hi {{ contact.first_name }}"}},
        {"name": "send", "kind": "http",
         "config": {"method": "POST", "url": provider.url, "body_type": "json", "repeat": repeat,
                    "body": '{"text": "{{ values.message }}"}', "concurrency": 20}},
        {"name": "note", "kind": "set",
         "config": {"fields": [{"name": "length", "template": "{{ values.message | size }}"}]}},
        {"name": "end", "kind": "outcome", "config": {"outcome": "sent"}},
    ]  # fmt: skip


def start(spinner: Pipeline) -> Job:
    return dispatch_spinner(spinner, SYSTEM, selection=Selection())


def done_count(job: Job) -> int:
    return Job.objects.values_list("done_count", flat=True).get(pk=job.pk)


def ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.is_final


def oracle(job: Job, keys: Counter[str] | None = None, *, unsafe: bool = False) -> None:
    job.refresh_from_db()
    rows = Counter(job.records.values_list("status", flat=True))
    assert sum(rows.values()) == job.total_count
    assert rows["completed"] == job.done_count
    assert rows["uncertain"] == job.uncertain_count
    assert job.remaining_count == 0
    assert not job.batches.filter(status="running").exists()
    assert not job.records.filter(intent_step__gt=0, status="running").exists()
    if keys is not None:
        sent = {
            f"{job.pk}-{n}-2"
            for n in job.records.filter(status="completed").values_list("position", flat=True)
        }
        assert sent <= set(keys)
        assert set(keys) <= {f"{job.pk}-{n}-2" for n in range(1, job.total_count + 1)}
        if unsafe:
            assert max(keys.values()) == 1


def soft_stop(portal: Portal, name: str) -> None:
    """As `up` and systemd (KillMode=mixed) do: the signal goes to the main process alone."""
    child = portal.running.pop(name)
    child.terminate()
    child.wait(PATIENCE)


@WITH_WORKERS
def test_workers_killed_in_mid_run_lose_and_double_nothing(
    portal: Portal, make_contacts: MakeContacts, make_spinner: MakeSpinner, provider: Provider
) -> None:
    """F01, F02, F07, F21: kill -9 a worker three times, everything once, messages tripled."""
    make_contacts(1200)
    job = start(make_spinner(steps(provider, "ask")))
    for _ in range(3):
        run_batches.apply_async()
        sweep.apply_async()
    for share, number in ((100, 1), (300, 2), (500, 1)):
        wait_until(lambda share=share: done_count(job) >= share, PATIENCE, what="progress")
        portal.kill_worker(number)
        portal.start()
    wait_until(lambda: done_count(job) >= 700, PATIENCE, what="progress")
    portal.kill_all()
    portal.start()
    wait_until(lambda: ended(job), PATIENCE, what="progress")
    oracle(job, provider.keys(), unsafe=True)
    assert job.status == "completed"
    # At most the calls in flight at each of the four kills, of both workers.
    assert job.uncertain_count <= 5 * 60 * 4
    assert job.records.filter(status="uncertain").exclude(error="").count() == job.uncertain_count


@WITH_WORKERS
def test_safe_steps_need_nobody_after_a_kill_and_a_soft_stop_costs_nothing(
    portal: Portal, make_contacts: MakeContacts, make_spinner: MakeSpinner, provider: Provider
) -> None:
    """F01, F04: the same key again for a safe step; SIGTERM leaves no uncertainty at all."""
    make_contacts(400)
    safe = start(make_spinner(steps(provider, "key")))
    wait_until(lambda: done_count(safe) >= 100, PATIENCE, what="progress")
    portal.kill_worker(1)
    portal.start()
    wait_until(lambda: ended(safe), PATIENCE, what="progress")
    oracle(safe, provider.keys())
    assert safe.done_count == 400

    provider.log.write_text("")
    unsafe = start(make_spinner(steps(provider, "ask"), slug="unsafe"))
    wait_until(lambda: done_count(unsafe) >= 50, PATIENCE, what="progress")
    soft_stop(portal, "worker-1")
    portal.start()
    wait_until(lambda: done_count(unsafe) >= 200, PATIENCE, what="progress")
    soft_stop(portal, "worker-2")
    portal.start()
    wait_until(lambda: ended(unsafe), PATIENCE, what="progress")
    oracle(unsafe, provider.keys(), unsafe=True)
    assert unsafe.done_count == 400
    assert not unsafe.events.filter(kind="batch.lease_expired").exists()


@WITH_WORKERS
def test_poison_and_hanging_records_fail_alone(
    portal: Portal, make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    """F12: os._exit in one record's step, an endless loop in another's; the others finish."""
    make_contacts(120)
    job = start(
        make_spinner(
            [
                {"name": "poison", "kind": "poison", "config": {}},
                {"name": "end", "kind": "outcome", "config": {"outcome": "ok"}},
            ]
        )
    )

    def others_done() -> bool:
        portal.start()  # what `up` does: a worker that dies is started again
        for name, child in list(portal.running.items()):
            if child.poll() is not None:
                portal.running.pop(name)
        return ended(job)

    wait_until(others_done, PATIENCE, what="progress")
    oracle(job)
    failed = job.records.filter(status="failed")
    assert sorted(failed.values_list("position", flat=True)) == [37, 53]
    assert set(failed.values_list("error_type", flat=True)) == {"worker_lost"}
    assert job.done_count == 118


@WITH_WORKERS
def test_a_frozen_worker_is_fenced_when_it_wakes(
    portal: Portal, make_contacts: MakeContacts, make_spinner: MakeSpinner, provider: Provider
) -> None:
    """F10: SIGSTOP for twice the lease; its results are evidence, the outcome is written once."""
    make_contacts(400)
    portal.kill_worker(2)
    job = start(make_spinner(steps(provider, "key")))
    wait_until(lambda: done_count(job) >= 20, PATIENCE, what="progress")
    family = portal.pids["worker-1"]
    os.killpg(family, signal.SIGSTOP)
    frozen = set(
        Batch.objects.filter(job=job, status="running").values_list("lease_owner", flat=True)
    )
    portal.start()  # worker 2
    wait_until(lambda: ended(job), PATIENCE, what="progress")
    oracle(job, provider.keys())
    before = list(job.records.values_list("pk", "status", "completed_at"))
    os.killpg(family, signal.SIGCONT)
    # Awake again, it takes a new job like any other.
    portal.kill_worker(2)
    again = start(make_spinner(steps(provider, "key"), slug="again"))
    wait_until(lambda: ended(again), PATIENCE, what="progress")
    assert list(job.records.values_list("pk", "status", "completed_at")) == before
    oracle(job)
    if frozen:
        assert job.events.filter(kind="batch.lease_expired").exists()
    assert LateReport.objects.filter(job=job).count() <= len(frozen) * 4


@WITH_WORKERS
def test_a_small_job_does_not_wait_behind_a_large_one(
    portal: Portal, project: Project, make_spinner: MakeSpinner
) -> None:
    """Fair: 1 contact behind 20,000 begins within 2 s, and the launch answers within 1 s."""
    Contact.objects.bulk_create(
        (Contact(project=project, external_id=f"x-{n}", name=f"X {n}") for n in range(20_000)),
        batch_size=5_000,
    )
    spinner = make_spinner()
    began = time.monotonic()
    large = start(spinner)
    assert time.monotonic() - began < 4  # under a second on a machine of its own (bench/)
    wait_until(lambda: done_count(large) > 0, PATIENCE, what="progress")
    one = Contact.objects.order_by("pk").values_list("pk", flat=True)[:1]
    small = dispatch_spinner(spinner, SYSTEM, selection=Selection(kind="ids", ids=list(one)))
    began = time.monotonic()
    wait_until(lambda: ended(small), PATIENCE, what="progress")
    small.refresh_from_db()
    assert small.started_at is not None
    assert (small.started_at - small.created_at).total_seconds() < 4
    assert not ended(large)
