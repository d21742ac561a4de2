"""What a verb answers when it will not act."""

from typing import Any


class Refused(Exception):
    """`str()` says in plain words what to do; `code` is for programs; `facts` for their bodies.

    Codes: PLAN_LIMIT, NOT_ACTIVE, NOT_PUBLISHED, NO_CONTACTS, ALREADY_ENDED, ALREADY_RESENT,
    NOT_FAILED, NOT_WAITING, NOT_UNCERTAIN, TOO_EARLY, STILL_RUNNING, BAD_TRANSITION,
    REASON_NEEDED, UNKNOWN_TOKEN, NOT_UNDOABLE, PRUNED, NOT_REMOTE, NO_SUCH_STEP, NOT_ASKED,
    LATE_REPORT.
    """

    def __init__(self, message: str, *, code: str, **facts: Any):
        super().__init__(message)
        self.code = code
        self.facts = facts


PRUNED = (
    "The team's retention rule pruned the journeys of this job, so its records cannot go on from "
    "where they stopped: start a new run over these contacts."
)
