"""The statuses of jobs, batches, records and steps, and which may follow which.

Every change is a conditional UPDATE whose row count is checked; nothing else writes a status.

Job:

    (a) dispatch ─▶ PENDING ──(b) first claim──▶ RUNNING ◀──(d) resume/retry──┐
                      │                           │  │ └──(c) only waits left──▶ WAITING
                      │ (e) cancel                │  │                             │  │
                      ▼                           │  └─(g) last batch settles──────┼─▶ COMPLETED
                  CANCELLED ◀──(f) work stopped───┴────────────────────────────────┘  │
                      ▲                           └─(h) run itself failed─▶ FAILED ◀──┘
                      └── corrections by staff may move a finished job (reason required)

    (r) retry of failed records reopens COMPLETED or FAILED to RUNNING.

Record: the same, plus SKIPPED (never to be done) and UNCERTAIN (an effect may have happened).
"""

from django.db import models


class JobStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class RecordStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    SKIPPED = "skipped", "Skipped"
    UNCERTAIN = "uncertain", "Uncertain"


class StepStatus(models.TextChoices):
    """One entry of a journey. Steps after the last entry were not reached."""

    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"  # a condition jumped over it
    UNCERTAIN = "uncertain", "Uncertain"
    CANCELLED = "cancelled", "Cancelled"


class BatchStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    CANCELLED = "cancelled", "Cancelled"


class Effort(models.TextChoices):
    MAX = "max", "MAX"
    HIGH = "high", "HIGH"
    MEDIUM = "medium", "MEDIUM"


ACTIVE_JOB_STATUSES = (JobStatus.PENDING, JobStatus.RUNNING, JobStatus.WAITING)
FINAL_JOB_STATUSES = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
FINAL_RECORD_STATUSES = (
    RecordStatus.COMPLETED,
    RecordStatus.FAILED,
    RecordStatus.CANCELLED,
    RecordStatus.SKIPPED,
    RecordStatus.UNCERTAIN,
)
OPEN_RECORD_STATUSES = (RecordStatus.PENDING, RecordStatus.RUNNING, RecordStatus.WAITING)

# By whom a status may be left is the verb's business; these are the orders that make sense.
JOB_TRANSITIONS: dict[str, frozenset[str]] = {
    JobStatus.PENDING: frozenset(
        {JobStatus.RUNNING, JobStatus.WAITING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.RUNNING: frozenset(
        {JobStatus.PENDING, JobStatus.WAITING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.WAITING: frozenset(
        {JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.COMPLETED: frozenset({JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.FAILED: frozenset({JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.CANCELLED}),
    JobStatus.CANCELLED: frozenset({JobStatus.COMPLETED, JobStatus.FAILED}),
}  # fmt: skip
