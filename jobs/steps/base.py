"""What a step is to the executor: compiled once a batch, then run for every record.

A *pure* step (template, set, condition, outcome, wait) only computes. An *effect* step (http,
email, ai, custom) first prepares its request in memory, then, after the intent is durable,
performs it. What may have left the machine decides the result class:

    Continue   went well; `values` are kept for later steps, `output` is shown in the journey
    GoTo       go on at a later step (only forward)
    End        the record is complete with this outcome
    Hold       the record waits for a person, a callback or a time
    Failed     surely did not happen, and trying again would not help
    Retry      surely did not happen (DNS, connect, TLS, 429, 503 with Retry-After): try again
    Uncertain  may have happened (time-out or reset after sending, 5xx on an unsafe call)
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

EffectClass = Literal["safe", "checkable", "unsafe"]


@dataclass(slots=True, frozen=True)
class StepInput:
    """What a step sees of one record; plain values only.

    `contact` as Contact.as_template_values() gives it ({} for a workflow); `values` what
    earlier steps made; `job` = {"id", "name", "effort", "input", "ticket_key", "ticket_url",
    "project", "spinner"}; `key` the idempotency key of this record and step.
    """

    contact: dict[str, Any]
    values: dict[str, Any]
    job: dict[str, Any]
    key: str
    record_id: int
    attempt: int = 1


@dataclass(slots=True)
class Continue:
    values: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class GoTo:
    step_name: str
    reason: str = ""
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class End:
    outcome: str
    metadata: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(slots=True)
class Hold:
    """`kind` is approval, callback or until; `until` is when a time is reached or given up.

    A callback's token is not in here: jobs/steps/callbacks.py makes it from record and step name
    (`make_token`), the record stores `hash_token(token)`, and `read_token` finds the record of a
    call that came before the wait.
    """

    kind: Literal["approval", "callback", "until"]
    until: datetime | None = None
    # What happens at `until`: the record goes on (a time) or fails with `timed out`.
    on_timeout: Literal["continue", "fail"] = "continue"
    prompt: str = ""


@dataclass(slots=True)
class Failed:
    error: str
    error_type: str = "unknown"
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Retry:
    error: str
    error_type: str = "provider_error"
    after_seconds: float | None = None  # the receiver's Retry-After, if it gave one
    pause_host: bool = False  # 429: the whole host is asked to wait, not this record alone
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Uncertain:
    error: str
    error_type: str = "uncertain_effect"
    output: dict[str, Any] = field(default_factory=dict)


PureResult = Continue | GoTo | End | Hold | Failed
EffectResult = Continue | Failed | Retry | Uncertain


class PureStep(Protocol):
    is_effect: ClassVar[bool] = False

    def run(self, record: StepInput) -> PureResult: ...


@dataclass(slots=True)
class Prepared:
    """A request ready to leave. `shown` is its masked form for the journey; `host` its limit key."""

    host: str
    request: Any
    shown: dict[str, Any] = field(default_factory=dict)
    key: str = ""


class EffectStep(Protocol):
    is_effect: ClassVar[bool] = True
    effect_class: EffectClass
    max_attempts: int
    timeout_seconds: float
    concurrency: int
    keeps_time: bool  # `perform` never takes longer than `timeout_seconds`

    def prepare(self, record: StepInput) -> Prepared | Failed: ...

    async def perform(self, prepared: Prepared, clients: "Clients") -> EffectResult: ...

    async def probe(self, prepared: Prepared, clients: "Clients") -> EffectResult | None:
        """For a *checkable* step after a crash: what became of it; None: it did not happen."""
        ...


class Clients(Protocol):
    """What the worker process shares among effects (jobs/steps/clients.py)."""

    http: Any
    smtp: Any
