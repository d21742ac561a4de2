"""Runs that are made and awaited without clicks, where the click is not what is tested."""

from typing import Any

from accounts.models import User
from accounts.permissions import Actor
from jobs.execution import dispatch
from jobs.execution.selection import Selection
from jobs.models import Job, Record
from projects.models import Pipeline
from tests.processes.portal import wait_until


def start(spinner: Pipeline, user: User, selection: Selection | None = None) -> Job:
    actor = Actor(user=user)
    return dispatch.dispatch_spinner(spinner, actor, selection=selection or Selection())


def settled(run: Job, status: str = "completed") -> Job:
    wait_until(
        lambda: Job.objects.filter(pk=run.pk, status=status).exists(),
        what=f"{status}; it is {Job.objects.get(pk=run.pk).status}",
    )
    run.refresh_from_db()
    return run


def record_of(run: Job, contact: str) -> Record:
    return Record.objects.get(job=run, contact__external_id=contact)


def becomes(record: Record, status: str) -> Record:
    wait_until(
        lambda: Record.objects.filter(pk=record.pk, status=status).exists(),
        what=f"record {record.position} {status}",
    )
    record.refresh_from_db()
    return record


def step(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "config": config}


def send_step(url: str, **config: Any) -> dict[str, Any]:
    """Its address ends with the contact's number, which tells a receiver who it is about."""
    return step("send", "http", url=url + "/send/{{ contact.external_id }}", **config)


DONE = step("done", "outcome", outcome="sent")
