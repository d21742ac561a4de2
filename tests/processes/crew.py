"""Two workers, a provider in its own process and a broker of the tests' own, for fault tests."""

import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts.permissions import SYSTEM
from config import services
from jobs.execution.dispatch import dispatch_spinner
from jobs.execution.selection import Selection
from jobs.models import Batch, Job
from projects.models import Contact, Pipeline
from tests.processes.portal import Portal, Template, free_port, wait_until

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]
# Deadlines are for a machine that is busy with other things; waits end as soon as they can.
PATIENCE = 240
ENV = {
    # Long enough that a worker which is only slow keeps its lease; see forget_the_dead.
    "SPINDLE_LEASE_SECONDS": "5",
    "SPINDLE_BATCH_SIZE": "100",
    "SPINDLE_INTERNAL_HOSTS": "127.0.0.1",
    "SPINDLE_APPS": "tests.processes.steps_app",
    "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    "TEST_POISON": "c-37",
    "TEST_HANG": "c-113",
}
_numbers = itertools.count(1)


class Provider:
    def __init__(self, folder: Path, delay_ms: int = 30):
        self.port, self.log = free_port(), folder / "provider.log"
        script = Path(__file__).with_name("provider.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), str(self.log), str(delay_ms)]
        )
        self.url = f"http://127.0.0.1:{self.port}/send"
        wait_until(self.log.exists)

    def keys(self, job: Job) -> Counter[str]:
        return Counter(key for key, _ in self.calls(job))

    def calls(self, job: Job) -> list[tuple[str, float]]:
        """(key, time) of each call, in order."""
        lines = (line.split() for line in self.log.read_text().splitlines())
        return [(key, float(at)) for at, key in lines if key.startswith(f"{job.pk}-")]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Broker:
    """A Redis of the tests' own, channel layer and all, or the embedded folder of messages."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self.env: dict[str, str] = {}
        if os.environ.get("CELERY_BROKER_URL", "").startswith("redis"):
            self.env = {
                "CELERY_BROKER_URL": f"redis://127.0.0.1:{self.port}/0",
                "CHANNEL_LAYER_URL": f"redis://127.0.0.1:{self.port}/1",
            }
            self.start()

    def start(self) -> None:
        if not self.env or self.server:
            return
        command = [
            services.program("redis-server", package="redis-server"), "--port", str(self.port),
            "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self.folder),
        ]  # fmt: skip
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, what="Redis")

    def _answers(self) -> bool:
        import redis

        try:
            return bool(redis.Redis(port=self.port).ping())
        except redis.ConnectionError:
            return False

    def lose_everything(self, portal: Portal) -> None:
        """kill -9: with it goes every message. Without a server: the folder is emptied."""
        if self.server:
            self.server.kill()
            self.server.wait()
            self.server = None
        else:
            for message in (portal.folder / "queue").rglob("*.msg"):
                message.unlink(missing_ok=True)

    def end(self) -> None:
        if self.server:
            self.server.kill()
            self.server.wait()


class Crew:
    """`env` adds settings to the portal's, `own_env` to those of one worker."""

    def __init__(
        self,
        template: Template,
        folder: Path,
        *,
        env: dict[str, str] | None = None,
        own_env: dict[str, dict[str, str]] | None = None,
    ):
        self.broker = Broker(folder)
        self.provider = Provider(folder)
        self.portal = Portal(
            template, workers=2, web=False, beat=False,
            env={**ENV, **self.broker.env, **(env or {})}, own_env=own_env,
        )  # fmt: skip

    def end(self) -> None:
        self.provider.end()
        self.broker.end()


@pytest.fixture(scope="module")
def crew(portal_template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    made = Crew(portal_template, tmp_path_factory.mktemp("crew"))
    try:
        with made.portal:
            yield made
    finally:
        made.end()


@pytest.fixture
def portal(crew: Crew, django_db_blocker: Any) -> Iterator[Portal]:
    """One for the whole module; each test has a team and a project of its own in it."""
    crew.portal.start()
    with django_db_blocker.unblock(), crew.portal.attached():
        yield crew.portal


@pytest.fixture
def provider(crew: Crew) -> Provider:
    return crew.provider


@pytest.fixture
def suffix() -> str:
    return f"-{next(_numbers)}"


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


def start(spinner: Pipeline, **selection: Any) -> Job:
    return dispatch_spinner(spinner, SYSTEM, selection=Selection(**selection))


def done_count(job: Job) -> int:
    return Job.objects.values_list("done_count", flat=True).get(pk=job.pk)


def until_done(job: Job, count: int) -> None:
    wait_until(lambda: done_count(job) >= count, PATIENCE, what=f"{count} done")


def ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.is_final


def until_ended(job: Job, portal: Portal, *, hurry: bool = True) -> None:
    """Meanwhile a worker that dies is started again, as `up` does."""

    def look() -> bool:
        portal.start()
        if hurry:
            forget_the_dead()
        return ended(job)

    try:
        wait_until(look, PATIENCE, what=f"the end of job {job.pk}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{standing(job)}\n{portal.logs()}") from None


def standing(job: Job) -> str:
    """Where a job stands, for the message of a test that waited in vain."""
    job.refresh_from_db()
    counts = ", ".join(f"{name} {count}" for name, count in job.counts().items())
    batches = job.batches.exclude(status="done").order_by("number")
    return "\n".join(
        [
            f"{job}: {job.status}, {counts}; now {timezone.now()}",
            f"planned {job.planned_count}, being planned until {job.planning_leased_until}",
            *(
                f"batch {batch.number}: {batch.status}, {batch.lease_owner or 'nobody'}, "
                f"lease to {batch.lease_expires_at}, due {batch.due_at}, {batch.attempt_count} tries"
                for batch in batches[:20]
            ),
            *(f"{event.at} {event.message}" for event in job.events.order_by("-pk")[:20]),
        ]
    )


def forget_the_dead() -> None:
    """End the leases of workers that are dead or frozen now, instead of waiting for their time."""
    running = Batch.objects.filter(status="running")
    owners = set(running.values_list("lease_owner", flat=True))
    gone = [owner for owner in owners if state_of(owner.rpartition(":")[2]) in ("", "Z", "T")]
    if gone:
        running.filter(lease_owner__in=gone).update(lease_expires_at=Now())


def state_of(pid: str) -> str:
    """As the kernel says it: R, S, T (stopped), Z; "" where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def oracle(job: Job, keys: Counter[str] | None = None, *, unsafe: bool = False) -> None:
    """One outcome a record, counters equal a recount, no key of an unsafe step twice."""
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


__all__ = ["Crew", "Provider", "crew", "portal", "provider", "suffix"]
