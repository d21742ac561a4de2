"""A run from launch to its end, inside one process."""

from collections.abc import Callable

import pytest

from projects.models import Contact, Pipeline
from tests.jobs.engine_rig import run_spinner

pytestmark = pytest.mark.django_db

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]


def test_pure_run_completes_every_record(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    """R1, R2, R5: the total is fixed, closes, and every record has its journey."""
    make_contacts(7)
    job = run_spinner(make_spinner())
    assert (job.status, job.done_count, job.remaining_count) == ("completed", 7, 0)
    record = job.records.get(position=3)
    assert record.outcome == "composed"
    assert record.values == {"message": "Hi Contact"}
    assert [entry["status"] for entry in record.journey] == ["completed", "completed"]
    kinds = list(job.events.values_list("kind", flat=True))
    assert kinds == [
        "job.created", "job.queued", "job.claimed", "job.started", "job.completed",
        "job.torn_down",
    ]  # fmt: skip
    assert list(job.step_counts.order_by("step").values_list("reached_count", "passed_count")) == [
        (7, 7), (7, 7),
    ]  # fmt: skip
