"""Starting points offered for a new spinner or workflow; each can be published as it is."""

import copy
from dataclasses import dataclass
from typing import Any

from projects.models import PipelineKind
from projects.pipelines.flow import Flow, flow_of

Steps = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Starter:
    slug: str
    title: str
    description: str
    steps: Steps
    kinds: tuple[str, ...] = (PipelineKind.SPINNER,)

    def definition(self) -> dict[str, Any]:
        return {"steps": copy.deepcopy(self.steps)}

    @property
    def flow(self) -> Flow:
        return flow_of({"steps": self.steps})


def _step(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "config": config}


def _outcome(name: str, outcome: str) -> dict[str, Any]:
    return _step(name, "outcome", outcome=outcome)


BLANK = Starter(
    "blank",
    "Blank",
    "No steps yet: add them one by one.",
    [],
    (PipelineKind.SPINNER, PipelineKind.WORKFLOW),
)
EMAIL = Starter(
    "email",
    "Send an e-mail",
    "Leaves out contacts without an address, writes a personal message, and sends it.",
    [
        _step(
            "has-email", "condition",
            rows=[{"field": "contact.email", "operator": "is_not_empty"}],
            on_true="continue", on_false="end", on_false_outcome="no_email",
        ),
        _step(
            "compose", "template", field="message",
            template="Hi {{ contact.first_name | default: 'there' }},\n\n"
            "we have something to tell you.\n\nYours,\nthe team",
        ),
        _step(
            "send", "email", to="{{ contact.email }}", subject="A word from us",
            body="{{ values.message }}",
        ),
        _outcome("record-outcome", "sent"),
    ],
)  # fmt: skip
HTTP_APPROVAL = Starter(
    "http-approval",
    "HTTP call after approval",
    "Asks a person about each contact, then sends a request and keeps the answer's id.",
    [
        _step(
            "approve", "wait", **{"for": "approval"},
            prompt="Send the request for {{ contact.name }}?", give_up_after="7d",
        ),
        _step(
            "call", "http", method="POST", url="https://api.example.com/contacts/{{ contact.id }}",
            body_type="json", body='{"name": "{{ contact.name }}", "email": "{{ contact.email }}"}',
            repeat="key", mapping=[{"path": "id", "field": "remote_id"}],
        ),
        _outcome("record-outcome", "sent"),
    ],
)  # fmt: skip
AI_SUMMARY = Starter(
    "ai-summary",
    "AI summary",
    "Asks a chat model about each contact and keeps its answer as the outcome's fact.",
    [
        _step(
            "summarise", "ai",
            prompt="In two sentences: what should we know about {{ contact.name }}, "
            "who is on the plan {{ contact.plan }}?",
            field="summary",
        ),
        _step(
            "record-outcome", "outcome", outcome="summarised",
            metadata=[{"name": "summary", "value": "{{ values.summary }}"}],
        ),
    ],
)  # fmt: skip
AI_TICKET = Starter(
    "ai-ticket",
    "AI answer to a ticket",
    "Gives the ticket and the hint to a chat model; its answer is the job's output.",
    [
        _step(
            "answer", "ai",
            prompt="Ticket {{ job.ticket_key }} ({{ job.ticket_url }}).\n\n{{ job.input.hint }}",
            field="answer",
        ),
        _step(
            "record-outcome", "outcome", outcome="answered",
            metadata=[{"name": "answer", "value": "{{ values.answer }}"}],
        ),
    ],
    (PipelineKind.WORKFLOW,),
)  # fmt: skip
WEBHOOK = Starter(
    "webhook",
    "Call a service and wait for its answer",
    "Sends a request with a signed callback address, and goes on when the service calls it.",
    [
        _step(
            "ask", "http", method="POST", url="https://api.example.com/jobs", body_type="json",
            body='{"ticket": "{{ job.ticket_key }}", "callback": "{{ callback_urls.answer }}"}',
            repeat="key",
        ),
        _step("answer", "wait", **{"for": "callback"}, give_up_after="2d"),
        _outcome("record-outcome", "answered"),
    ],
    (PipelineKind.WORKFLOW,),
)  # fmt: skip

STARTERS = {
    each.slug: each for each in (BLANK, EMAIL, HTTP_APPROVAL, AI_SUMMARY, AI_TICKET, WEBHOOK)
}


def starters_for(kind: str) -> list[Starter]:
    return [each for each in STARTERS.values() if kind in each.kinds]
