"""The demo's published workflows: one for each kind of work an agent does.

None needs anything outside the portal: they are made of text, decisions, short waits and a
person's answer.
"""

from typing import Any

from accounts.models import Team
from accounts.permissions import Actor
from config.demo.spinners import step
from projects.pipelines.drafts import create
from projects.publishing import publish

TICKET = "{{ job.ticket_key | default: 'the request' }}"
HINT = "{{ job.input.hint | default: 'no hint was given' }}"


def make(team: Team, actor: Actor) -> None:
    """Called once, while the demo is made."""
    for name, job_type, effort, description, steps in WORKFLOWS:
        workflow = create(
            team, actor, name=name, description=description, definition={"steps": steps},
            job_type_slug=job_type, default_effort=effort,
        )  # fmt: skip
        publish(workflow, actor, note="First version")


def _done(outcome: str, message: str) -> dict[str, Any]:
    """The last step: its `message` is what the job's Output card shows."""
    return step(
        "report", "outcome", outcome=outcome, metadata=[{"name": "message", "value": message}]
    )


def _pause(name: str, length: str) -> dict[str, Any]:
    return step(name, "wait", until=length, **{"for": "time"})


GENERATE_PLAN = [
    step("read-request", "template", field="request", template=f"{TICKET}: {HINT}"),
    _pause("let-others-add", "4s"),
    step(
        "outline", "template", field="plan",
        template="1. Agree on the goal of {{ values.request }}\n2. Split it into milestones\n"
        "3. Name an owner for each\n4. Review after a week",
    ),
    _done("planned", "{{ values.plan }}"),
]  # fmt: skip

SE_WORK = [
    step("analyze-ticket", "template", field="analysis", template=f"{TICKET} asks for: {HINT}"),
    step(
        "choose-depth", "set",
        fields=[
            {"name": "files", "type": "number",
             "template": "{% if job.effort == 'max' %}12{% elsif job.effort == 'high' %}6"
             "{% else %}3{% endif %}"},
        ],
    ),
    _pause("write-change", "6s"),
    step(
        "summarise", "template", field="summary",
        template="{{ values.analysis }}\nLooked at {{ values.files }} files; the change is ready "
        "for review.",
    ),
    _done("change_ready", "{{ values.summary }}"),
]  # fmt: skip

WRITE_CHANGELOG = [
    step("collect", "template", field="entries", template=f"- {TICKET}: {HINT}"),
    _pause("wait-for-late-entries", "3s"),
    step(
        "write", "template", field="changelog",
        template="## This week\n{{ values.entries }}\nThank you to everyone who reported a problem.",
    ),
    _done("written", "{{ values.changelog }}"),
]  # fmt: skip

DEPLOY_PREVIEW = [
    step(
        "check-input", "condition",
        rows=[{"field": "job.ticket_key", "operator": "is_not_empty"}],
        on_true="continue", on_false="end", on_false_outcome="no_ticket",
    ),
    step(
        "plan-rollout", "template", field="rollout",
        template=f"Preview of {TICKET}: build, start beside the live version, switch 5 % over.",
    ),
    _pause("build", "5s"),
    step(
        "validate-gate", "wait", prompt="Deploy this preview?\n\n{{ values.rollout }}",
        give_up_after="1d", on_timeout="fail", **{"for": "approval"},
    ),
    _done("deployed", "{{ values.rollout }}\nApproved and deployed."),
]  # fmt: skip

# (name, job type of the catalogue, effort, description, steps): Design, Develop, Content, Deploy.
WORKFLOWS: list[tuple[str, str, str, str, list[dict[str, Any]]]] = [
    (
        "Generate plan", "generating-plan", "high",
        "Design: turns a ticket and a hint into a short plan.", GENERATE_PLAN,
    ),
    (
        "SE work", "executing-code", "max",
        "Develop: looks into a ticket, deeper with more effort, and reports.", SE_WORK,
    ),
    (
        "Write changelog", "generating-changelog", "medium",
        "Content: a changelog entry from a ticket.", WRITE_CHANGELOG,
    ),
    (
        "Deploy preview", "validating-gate", "high",
        "Deploy: plans a preview of a ticket and asks a person at the gate.", DEPLOY_PREVIEW,
    ),
]  # fmt: skip
