"""The demo's published spinners: one calls the provider, one asks a person, one only computes."""

from typing import Any

NAME = "{{ contact.first_name | default: 'there' }}"


def step(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "config": config}


def renewal_reminder(provider_url: str) -> dict[str, Any]:
    return {
        "steps": [
            step(
                "has-address", "condition", match="any",
                rows=[
                    {"field": "contact.email", "operator": "is_not_empty"},
                    {"field": "contact.phone", "operator": "is_not_empty"},
                ],
                on_true="continue", on_false="end", on_false_outcome="no_address",
            ),
            step(
                "compose", "template", field="message",
                template=f"Hi {NAME}, your {{{{ contact.plan }}}} plan renews on "
                "{{ contact.renews_on }}. Nothing to do if you are happy with it.",
            ),
            step(
                "send", "http", method="POST", url=f"{provider_url}/messages", body_type="json",
                body='{"to": "{{ contact.phone | default: contact.email }}", '
                '"text": "{{ values.message }}"}',
                mapping=[{"path": "id", "field": "message_id"}],
                repeat="key", timeout_seconds=10, concurrency=20,
            ),
            step(
                "reminded", "outcome", outcome="reminded",
                metadata=[{"name": "message", "value": "{{ values.message_id }}"}],
            ),
        ]
    }  # fmt: skip


def enterprise_offer() -> dict[str, Any]:
    return {
        "steps": [
            step(
                "enterprise-only", "condition",
                rows=[
                    {"field": "contact.plan", "operator": "equals", "value": "enterprise"},
                    {"field": "contact.score", "operator": "at_least", "value": "70"},
                ],
                on_true="continue", on_false="end", on_false_outcome="not_in_scope",
            ),
            step(
                "draft-offer", "template", field="offer",
                template=f"Dear {NAME}, we would like to offer "
                "{{ contact.company | default: 'you' }} a yearly price for {{ contact.city }}.",
            ),
            step(
                "approve-offer", "wait", prompt="Send this to {{ contact.name | default: contact.email }}?\n\n"
                "{{ values.offer }}", give_up_after="7d", on_timeout="fail",
                **{"for": "approval"},
            ),
            step("offered", "outcome", outcome="offer_approved"),
        ]
    }  # fmt: skip


def engagement_score() -> dict[str, Any]:
    return {
        "steps": [
            step(
                "grade", "set",
                fields=[
                    {"name": "doubled", "template": "{{ contact.score | times: 2 }}",
                     "type": "number"},
                    {"name": "label", "type": "text",
                     "template": "{% if contact.score >= 70 %}keen"
                     "{% elsif contact.score >= 30 %}steady{% else %}quiet{% endif %}"},
                ],
            ),
            step(
                "quiet-ones", "condition",
                rows=[{"field": "values.label", "operator": "equals", "value": "quiet"}],
                on_true="end", on_true_outcome="quiet", on_false="continue",
            ),
            step(
                "engaged", "outcome", outcome="{{ values.label }}",
                metadata=[{"name": "score", "value": "{{ contact.score }}"}],
            ),
        ]
    }  # fmt: skip
