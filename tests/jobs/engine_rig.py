"""Drives the engine inside a test's own transaction, with effect steps whose results are chosen."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from accounts.permissions import SYSTEM, Actor
from jobs.execution import engine
from jobs.execution.dispatch import dispatch_spinner
from jobs.execution.selection import Selection
from jobs.models import Job
from jobs.steps.base import Continue, EffectResult, StepInput
from projects.models import Pipeline
from projects.steps import registry


def launch(spinner: Pipeline, actor: Actor = SYSTEM, **options: Any) -> Job:
    return dispatch_spinner(
        spinner, actor, selection=options.pop("selection", Selection()), **options
    )


def work_off(job: Job | None = None) -> None:
    """Everything that is due, in this thread's transaction."""
    engine.run_here()
    if job is not None:
        job.refresh_from_db()


def run_spinner(spinner: Pipeline, actor: Actor = SYSTEM, **options: Any) -> Job:
    """Start a run over all contacts (or `selection=`) and work it off."""
    job = launch(spinner, actor, **options)
    work_off(job)
    return job


def recount(job: Job) -> None:
    """Counters equal the rows, and nothing is left open."""
    job.refresh_from_db()
    by_status = {
        status: job.records.filter(status=status).count()
        for status in ("completed", "failed", "skipped", "cancelled", "uncertain", "waiting")
    }
    unplanned = job.total_count - job.planned_count
    assert job.counts() | {"total": 0, "remaining": 0} == {
        "total": 0, "done": by_status["completed"], "failed": by_status["failed"],
        "skipped": by_status["skipped"],
        "cancelled": by_status["cancelled"] + (unplanned if job.is_final else 0),
        "uncertain": by_status["uncertain"], "waiting": by_status["waiting"], "remaining": 0,
    }  # fmt: skip


class Outside:
    """The world outside: what arrived there, and what it answers.

    `answer` is called with the step's input and the number of calls this key has had.
    """

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.answer: Callable[[StepInput, int], EffectResult] = lambda record, count: Continue()
        self.before: Callable[[StepInput], None] = lambda record: None
        self.seconds: Callable[[StepInput], float] = lambda record: 0.0  # how long a call takes

    async def act(self, record: StepInput, config: dict[str, Any], clients: Any) -> EffectResult:
        self.before(record)
        self.keys.append(record.key)
        await asyncio.sleep(self.seconds(record))
        return self.answer(record, self.keys.count(record.key))

    def contacts_called(self) -> list[str]:
        return sorted(self.keys)


@pytest.fixture
def outside() -> Iterator[Outside]:
    """Step kinds `act` (unsafe) and `act_safe` that call this Outside."""
    world = Outside()
    registry.register("act", effect="unsafe")(world.act)
    registry.register("act_safe", effect="safe")(world.act)
    yield world
    registry.unregister("act")
    registry.unregister("act_safe")


def pipeline_with(kind: str) -> list[dict[str, Any]]:
    return [
        {"name": "compose", "kind": "template",
         "config": {"field": "message", "template": "Hi {{ contact.first_name }}"}},
        {"name": "act", "kind": kind, "config": {}},
        {"name": "end", "kind": "outcome", "config": {"outcome": "sent"}},
    ]  # fmt: skip
