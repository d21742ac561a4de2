"""A job's pipeline, compiled once for a worker, and the facts its steps see."""

import time
from dataclasses import dataclass
from typing import Any

from jobs import steps as step_kinds
from jobs.models import Job
from jobs.steps.base import EffectStep, PureStep
from projects.steps import registry

KEPT_SECONDS = 30  # a changed secret is seen after so long


class CannotCompile(Exception):
    """The published definition does not compile (a template is broken, a setting is wrong)."""


class LacksKind(CannotCompile):
    """This process has no such kind of step; another one may."""

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


@dataclass(slots=True, frozen=True)
class CompiledStep:
    number: int  # from 1
    name: str
    kind: str
    step: Any  # PureStep or EffectStep
    is_effect: bool


@dataclass(slots=True, frozen=True)
class Program:
    """What all batches of one job share."""

    job_id: int
    kind: str
    steps: tuple[CompiledStep, ...]
    numbers: dict[str, int]
    facts: dict[str, Any]  # StepInput.job
    options: dict[str, Any]
    team_id: int
    project_id: int
    pipeline_id: int | None
    # Steps whose answer may have come before the record did.
    callback_steps: tuple[int, ...]

    def at(self, number: int) -> CompiledStep | None:
        return self.steps[number - 1] if 0 < number <= len(self.steps) else None


def compile_job(job: Job) -> Program:
    """Compile a job's version. Raises CannotCompile with the step's name and what to do."""
    if job.version is None:
        raise CannotCompile("The version this job runs has been deleted.")
    compiled = []
    secrets = _secrets(job)
    for number, step in enumerate(job.version.steps, start=1):
        try:
            made: PureStep | EffectStep = step_kinds.compile_step(
                step, secrets=secrets, effort=job.effort_level
            )
        except registry.UnknownKind:
            kind = step["kind"]
            said = f"Step {number} ({step['name']}): no worker that is up has the kind {kind!r}."
            raise LacksKind(said, kind) from None
        except Exception as error:  # a step's own code may raise anything
            raise CannotCompile(f"Step {number} ({step.get('name')}): {error}") from error
        compiled.append(
            CompiledStep(number, step["name"], step["kind"], made, bool(made.is_effect))
        )
    return Program(
        job_id=job.pk, kind=job.kind, steps=tuple(compiled),
        numbers={step.name: step.number for step in compiled},
        facts={
            "id": job.pk, "name": job.name, "effort": job.effort_level, "input": job.input,
            "ticket_key": job.ticket_key, "ticket_url": job.ticket_url,
            "project": job.project.name, "spinner": job.label,
        },
        options=job.options, team_id=job.team_id, project_id=job.project_id,
        pipeline_id=job.pipeline_id,
        callback_steps=tuple(
            number
            for number, step in enumerate(job.version.steps, start=1)
            if step["kind"] == "wait" and (step.get("config") or {}).get("for") == "callback"
        ),
    )  # fmt: skip


def _secrets(job: Job) -> dict[str, str]:
    from projects import secrets  # late: only a worker opens them

    return dict(secrets.decrypted(job.team))


class Programs:
    """Compiled pipelines by job, for a short while."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[float, Program]] = {}

    def of(self, job_id: int) -> Program:
        now = time.monotonic()
        found = self._kept.get(job_id)
        if found and now - found[0] < KEPT_SECONDS:
            return found[1]
        if len(self._kept) > 100:
            self._kept.clear()
        job = Job.objects.select_related("version", "project", "team").get(pk=job_id)
        program = compile_job(job)
        self._kept[job_id] = (now, program)
        return program
