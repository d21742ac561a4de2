"""Which values of a job's input are shown masked (X5).

A key is private when its name says so, or when the published version lists it under "private";
also one inside of another value.
"""

import re
from dataclasses import dataclass
from typing import Any

from jobs.models import Job
from projects.contacts.cells import as_text

PRIVATE_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|api_?key|authori[sz]ation|credential|private|^ssn$", re.I
)
MASK = "••••••••"


@dataclass(slots=True, frozen=True)
class InputPair:
    key: str
    value: str
    is_url: bool = False
    is_private: bool = False


def is_private(job: Job, key: str) -> bool:
    listed = job.version.definition.get("private", []) if job.version else []
    return key in listed or bool(PRIVATE_NAME.search(key))


def masked(job: Job, key: str, value: Any) -> Any:
    """The value of a key as it may be shown: whole, in parts, or not at all."""
    if is_private(job, key):
        return MASK
    if isinstance(value, dict):
        return {inner: masked(job, str(inner), held) for inner, held in value.items()}
    if isinstance(value, list):
        return [masked(job, "", held) for held in value]
    return value


def input_pairs(job: Job, *, revealed: str = "") -> list[InputPair]:
    """The input as text, in order: `ticket_url` first, then the rest; nested values as JSON."""
    values: dict[str, Any] = (
        dict(job.input) if isinstance(job.input, dict) else {"input": job.input}
    )
    if job.ticket_url and "ticket_url" not in values:
        values = {"ticket_url": job.ticket_url, **values}
    pairs = []
    for key, value in values.items():
        if value in (None, ""):
            continue
        shown = masked(job, key, value)
        private = shown != value
        text = as_text(value if key == revealed else shown)
        is_url = text.startswith(("https://", "http://"))
        pairs.append(InputPair(key, text, is_url, private))
    return pairs
