"""Drives the engine inside a test's own transaction."""

from typing import Any

from accounts.permissions import SYSTEM, Actor
from jobs.execution import engine
from jobs.execution.dispatch import dispatch_spinner
from jobs.execution.selection import Selection
from jobs.models import Job
from projects.models import Pipeline


def run_spinner(spinner: Pipeline, actor: Actor = SYSTEM, **options: Any) -> Job:
    """Start a run over all contacts (or `selection=`) and work it off."""
    selection = options.pop("selection", Selection())
    job = dispatch_spinner(spinner, actor, selection=selection, **options)
    engine.run_here()
    job.refresh_from_db()
    return job
