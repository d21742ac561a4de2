"""F03: the process ends (os._exit) at each point between a launch and the last commit.

A worker works the run off and dies at the point; the lease runs out, a second worker takes over,
and the end state is the table's.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now

from accounts.permissions import SYSTEM
from jobs.execution import engine, sweep
from jobs.execution.dispatch import dispatch_spinner
from jobs.execution.selection import Selection
from jobs.models import Batch, Job
from jobs.steps.base import Continue, EffectResult, StepInput
from projects.models import Contact, Pipeline
from projects.steps import registry
from tests.jobs.engine_rig import pipeline_with
from tests.processes.portal import Portal

CRASHED = 66
pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(600),
    # None of the portal's processes: its database alone.
    pytest.mark.parametrize("portal", [{"workers": 0, "web": False, "beat": False}], indirect=True),
]
# Where; what an unsafe record comes to, and its calls; those of a safe one, which is completed.
ENDS = {
    "before the claim": ("completed", 1, 1),
    "within the claim's transaction": ("completed", 1, 1),
    "after the claim": ("completed", 1, 1),
    "after loading": ("completed", 1, 1),
    "before the intent": ("completed", 1, 1),
    "within the intent's transaction": ("completed", 1, 1),
    "after the intent": ("uncertain", 0, 1),
    "before the call acts": ("uncertain", 0, 1),
    "after the call acted": ("uncertain", 1, 2),
    "before the result": ("uncertain", 1, 2),
    "within the result's transaction": ("uncertain", 1, 2),
    "after the result": ("completed", 1, 1),
    "within the end's transaction": ("completed", 1, 1),
    "after the end": ("completed", 1, 1),
}


class Runner:
    """crash_runner.py, and the keys that the world outside was called with."""

    def __init__(self, portal: Portal, keys: Path) -> None:
        self.keys = keys
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("crash_runner.py")), str(keys)],
            env={**os.environ, **portal.env}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, what: str, point: str, spinner: Pipeline) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\t{point}\t{spinner.pk}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def calls(self, job: Job) -> int:
        keys = self.keys.read_text().splitlines() if self.keys.exists() else []
        return sum(key.startswith(f"{job.pk}-") for key in keys)

    async def act(self, record: StepInput, config: dict[str, Any], clients: Any) -> EffectResult:
        """The same step as the runner's, for the second worker."""
        with self.keys.open("a") as file:
            file.write(f"{record.key}\n")
        return Continue()


@pytest.fixture
def runner(portal: Portal, tmp_path: Path) -> Iterator[Runner]:
    made = Runner(portal, tmp_path / "keys")
    registry.register("act", effect="unsafe")(made.act)
    registry.register("act_safe", effect="safe")(made.act)
    yield made
    registry.unregister("act")
    registry.unregister("act_safe")
    made.process.kill()
    made.process.wait()


def take_over(job: Job) -> None:
    """What time does: the lease runs out, the sweep offers the batch, a worker takes it."""
    Batch.objects.filter(job=job, status="running").update(
        lease_expires_at=Now() - timedelta(seconds=1)
    )
    sweep.sweep()
    engine.run_here("second")
    job.refresh_from_db()


def test_a_crash_at_any_point_of_a_run(
    make_contacts: Callable[..., list[Contact]],
    make_spinner: Callable[..., Pipeline],
    runner: Runner,
) -> None:
    make_contacts(1)
    spinners = {
        kind: make_spinner(pipeline_with(kind), slug=kind.replace("_", "-"))
        for kind in ("act", "act_safe")
    }
    seen, expected = {}, {}
    for point, (status, unsafe_calls, safe_calls) in ENDS.items():
        for kind, calls in (("act", unsafe_calls), ("act_safe", safe_calls)):
            job = dispatch_spinner(spinners[kind], SYSTEM, selection=Selection())
            code = runner.run("work", point, spinners[kind])
            take_over(job)
            record = job.records.get()
            assert (job.status, job.remaining_count) == ("completed", 0), point
            assert (job.done_count, job.uncertain_count) == (
                int(record.status == "completed"), int(record.status == "uncertain"),
            )  # fmt: skip
            seen[point, kind] = (code, record.status, runner.calls(job))
            expected[point, kind] = (CRASHED, status if kind == "act" else "completed", calls)
    assert seen == expected


def test_a_crash_in_a_launch_leaves_all_of_the_job_or_nothing(
    make_contacts: Callable[..., list[Contact]],
    make_spinner: Callable[..., Pipeline],
    runner: Runner,
) -> None:
    """A job whose message was never sent is found and done all the same."""
    make_contacts(3)
    spinner = make_spinner(pipeline_with("act"))
    for point in ("while records are made", "before the launch's last event"):
        assert runner.run("launch", point, spinner) == CRASHED
        assert not Job.objects.exists()
    assert runner.run("launch", "between the launch and its message", spinner) == CRASHED
    job = Job.objects.get()
    take_over(job)
    assert (job.status, job.done_count, runner.calls(job)) == ("completed", 3, 3)
