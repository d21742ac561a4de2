"""Definitions are checked with messages that name step and field."""

from typing import Any

import pytest

from projects.steps import registry
from projects.steps.validation import Problem, errors, validate

SEND = {
    "method": "POST",
    "url": "https://api.example.com/{{ contact.id }}",
    "headers": [{"name": "Authorization", "value": "Bearer {{ secrets.API_KEY }}"}],
    "body_type": "json",
    "body": '{"email": "{{ contact.email | default: \\"none\\" }}"}',
    "mapping": [{"path": "data.items[0].id", "field": "order_id"}],
}


def step(name: str, kind: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "config": config}


def texts(*steps: dict[str, Any], secrets: set[str] | None = None) -> list[str]:
    return [str(problem) for problem in validate({"steps": list(steps)}, secrets=secrets)]


def test_a_whole_pipeline_is_fine() -> None:
    definition = [
        step("compose", "template", field="message", template="Hi {{ contact.first_name }}"),
        step("facts", "set", fields=[{"name": "score", "template": "3", "type": "number"}]),
        step(
            "only-pro", "condition",
            rows=[{"field": "contact.plan", "operator": "equals", "value": "pro"}],
            on_false="skip", on_false_step="done",
        ),
        step("send", "http", **SEND),
        step("pause", "wait", **{"for": "time", "until": "1h 30m"}),
        step("done", "outcome", outcome="sent", metadata=[{"name": "id", "value": "x"}]),
    ]  # fmt: skip
    assert validate({"steps": definition}, secrets={"API_KEY"}) == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (step("a", "nope"), "Step 1 (a): There is no step kind 'nope'."),
        (step("A b", "outcome", outcome="x"), "Step 1 (A b): a name begins with a small letter"),
        (step("a", "template", field="m"), "Step 1 (a), field Text: is missing."),
        (
            step("a", "template", field="m", template="one\n{{ contact.name | shout }}"),
            "Step 1 (a), field Text: line 2: there is no filter 'shout'.",
        ),
        (
            step("a", "template", field="m", template="{{ secrets.API_KEY }}"),
            "Step 1 (a), field Text: secrets can be used only where a request is built",
        ),
        (step("a", "http", **SEND | {"url": "ftp://x"}), "Step 1 (a), field URL: should begin"),
        (
            step("a", "http", **SEND | {"url": "https://{{ secrets.OTHER }}.example.com"}),
            "Step 1 (a), field URL: there is no secret 'OTHER'",
        ),
        (step("a", "http", **SEND | {"timeout_seconds": 0}), "field Time limit (seconds): should"),
        (step("a", "http", **SEND | {"colour": "red"}), "an http step has no field 'colour'"),
        (step("a", "http", **SEND | {"expected_statuses": "9xx"}), "field Good answers: '9xx'"),
        (
            step("a", "http", **SEND | {"url": "https://u:p@example.com"}),
            "field URL: must not hold a user name or password",
        ),
        (
            step("a", "condition", by="expression", expression="contact.plan ==", on_false="continue"),
            "Step 1 (a), field Expression: expected a primitive expression",
        ),
        (
            step("a", "condition", rows=[{"field": "plan"}], on_false="continue"),
            "Step 1 (a), field Comparisons: 'plan' should be a field such as contact.plan",
        ),
        (step("a", "wait", **{"for": "time", "until": "soon"}), "field Until: 'soon' should be"),
        (step("a", "set", fields=[{"name": "x"}, {"name": "x"}]), "'x' is set twice"),
    ],
)  # fmt: skip
def test_a_message_names_step_and_field(broken: dict[str, Any], message: str) -> None:
    found = texts(broken, secrets={"API_KEY"})
    assert any(message in text for text in found), found


def test_skips_go_forward_to_steps_that_exist() -> None:
    def condition(target: str) -> dict[str, Any]:
        return step(
            "b", "condition", by="expression", expression="true", on_true="skip",
            on_true_step=target, on_false="continue",
        )  # fmt: skip

    first, last = step("a", "outcome", outcome="x"), step("c", "outcome", outcome="y")
    assert "there is no step 'z'" in texts(first, condition("z"), last)[0]
    assert "does not come later" in texts(first, condition("a"), last)[0]
    assert "does not come later" in texts(first, condition("b"), last)[0]
    found = validate({"steps": [first, condition("c"), last]})
    assert errors(found) == []
    assert found[0] == Problem("b", "", "no record can reach this step", 2, level="warning")


def test_names_are_taken_once_and_definitions_have_a_size() -> None:
    one = step("a", "outcome", outcome="x")
    assert "the name 'a' is taken by step 1" in texts(one, one)[0]
    assert (
        "at most 50 steps" in texts(*[step(f"s{n}", "outcome", outcome="x") for n in range(51)])[0]
    )
    long_text = step("a", "template", field="m", template="x" * 20_001)
    assert "20,001 characters long" in texts(long_text)[0]
    assert "NUL" in texts(step("a", "template", field="m", template="a\0"))[0]
    assert str(validate("nonsense")[0]).startswith("A definition is")
    assert str(validate({"steps": []})[0]) == "Add at least one step."
    assert validate({"steps": ["x", {"name": 1, "kind": [], "config": []}]})


def test_every_kind_can_be_drawn_as_a_form() -> None:
    for spec in registry.all_specs():
        assert spec.label
        assert spec.description
        names = [field.name for field in spec.fields]
        assert len(names) == len(set(names)), spec.kind
        for field in spec.fields:
            assert field.title
            if field.shown_when:
                other = spec.field(field.shown_when[0])
                assert other is not None
                assert set(field.shown_when[1]) <= {choice for choice, _ in other.choices}
