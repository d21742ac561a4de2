"""Every kind of failure in plain words, with what to do about it (SPEC section 10)."""

import re
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Failure:
    title: str
    explanation: str
    action: str


CATALOGUE: dict[str, Failure] = {
    "llm_timeout": Failure(
        "LLM timeout", "The model did not answer in time.",
        "Retry; if it happens again, choose a lower effort or a longer timeout.",
    ),
    "git_push_rejected": Failure(
        "Git push rejected", "The repository refused the push.",
        "Check for a concurrent push, rebase, and retry.",
    ),
    "insufficient_credits": Failure(
        "Insufficient credits", "The provider says that the account is out of credits.",
        "Top up the account, then retry.",
    ),
    "configuration": Failure(
        "Configuration error", "A token, an address or a setting is wrong.",
        "Fix the token or URL in the step or its secret, then retry.",
    ),
    "compilation_failure": Failure(
        "Compilation failure", "The code did not compile.",
        "Read the error, refine the task, and queue it again.",
    ),
    "provider_error": Failure(
        "Provider error", "The other side could not be reached, or answered with an error.",
        "Read its answer below; retry once it is well again.",
    ),
    "rejected_request": Failure(
        "Request rejected", "The other side understood the request and refused it.",
        "Correct the contact's data or the step, then retry.",
    ),
    "plan_limit": Failure(
        "Plan limit", "The month's jobs or records are used up.",
        "Ask a team admin to raise the plan, or wait for the reset date.",
    ),
    "worker_lost": Failure(
        "Worker lost", "The worker died while it was on this record, several times.",
        "Look at the worker's log; retry once the cause is known.",
    ),
    "uncertain_effect": Failure(
        "Uncertain effect", "A call was on its way when it broke off: it may have happened.",
        'Look on the other side, then choose "Mark as done" or "Retry".',
    ),
    "failure_limit": Failure(
        "Failure limit reached", "More records failed than this run allows.",
        "Look at the causes, correct them, and retry the failed records.",
    ),
    "rejected": Failure(
        "Rejected", "A person rejected this record at its gate.",
        "Nothing needs doing; retry asks again.",
    ),
    "timed_out": Failure(
        "Timed out", "The answer this record waited for did not come in time.",
        "Retry to wait once more.",
    ),
    "given_up": Failure(
        "Given up", "A person decided that this is not to be tried again.",
        "Nothing needs doing.",
    ),
    "template_error": Failure(
        "Template error", "A template of the step could not be filled for this contact.",
        "Correct the template or the contact's fields, then retry.",
    ),
    "step_error": Failure(
        "Error in a step", "The step's own code raised an error.",
        "Show the raw error to whoever wrote the step, then retry.",
    ),
    "unknown": Failure(
        "Unknown failure", "Something failed that Spindle has no words for.",
        "Read the raw error below, then retry.",
    ),
}  # fmt: skip


def explain(error_type: str) -> Failure:
    if error_type == "configuration_error":  # how jobs reported by other programs may spell it
        error_type = "configuration"
    return CATALOGUE.get(error_type, CATALOGUE["unknown"])


_QUOTED = re.compile(r"(['\"]).{1,200}?\1")
_ADDRESS = re.compile(r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.]+")
_ID = re.compile(r"\b[0-9a-f]{8}-?[0-9a-f-]{8,}\b|\b0x[0-9a-f]+\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_STATUS = re.compile(r"(?:\bHTTP |\bstatus |(?:^[\w.:-]+ |\b)answered )\d{3}\b", re.IGNORECASE)


def normalise_cause(error: str) -> str:
    """The error without what differs from record to record; failures are grouped by it.

    HTTP statuses stay, since 422 and 503 are different causes, and so does who answered.
    """
    text = (error.strip().splitlines() or [""])[0][:400]
    text = _ADDRESS.sub("…", text)
    text = _ID.sub("…", text)
    text = _QUOTED.sub("…", text)
    # Statuses are hidden from the number rule as letters, and put back.
    text = _STATUS.sub(lambda m: re.sub(r"\d", lambda d: chr(ord(d[0]) + 0xE000), m[0]), text)
    text = _NUMBER.sub("…", text)
    text = "".join(chr(ord(c) - 0xE000) if 0xE030 <= ord(c) <= 0xE039 else c for c in text)
    return text[:200]
