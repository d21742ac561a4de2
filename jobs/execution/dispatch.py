"""The verbs: everything portal, admin, API and command line may do to a job or record.

Each is atomic, writes its events in the same transaction and hints at the workers on commit.
All raise `Refused` where they will not act. This page names them; each noun has its module.
"""

from jobs.execution.cancellation import cancel, force_stop, force_stop_offered_at
from jobs.execution.corrections import correct_job, correct_record, undo_correction
from jobs.execution.errors import Refused
from jobs.execution.hints import one_hint
from jobs.execution.launching import dispatch_spinner, dispatch_workflow
from jobs.execution.pausing import pause_project, resume_project
from jobs.execution.resolution import (
    approve,
    give_up,
    mark_done,
    reject,
    resolve_callback,
)
from jobs.execution.retrying import resend, retry_failed, retry_record

__all__ = [
    "Refused",
    "approve",
    "cancel",
    "correct_job",
    "correct_record",
    "dispatch_spinner",
    "dispatch_workflow",
    "force_stop",
    "force_stop_offered_at",
    "give_up",
    "mark_done",
    "one_hint",
    "pause_project",
    "reject",
    "resend",
    "resolve_callback",
    "resume_project",
    "retry_failed",
    "retry_record",
    "undo_correction",
]
