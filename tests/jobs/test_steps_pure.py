"""Pure steps, dry runs and steps written in Python."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.steps import compile_step
from jobs.steps.base import Continue, End, Failed, GoTo, Hold, Prepared, Retry, StepInput, Uncertain
from jobs.steps.callbacks import callback_url, hash_token, make_token, read_token
from jobs.steps.clients import Clients
from jobs.steps.dry_run import dry_run
from projects.steps import registry
from projects.steps.registry import Field, RetryLater, StepFailed, register
from projects.steps.validation import validate
from tests.jobs.effects_rig import open_rig, perform

CONTACT = {"id": 1, "name": "Ann Lee", "first_name": "Ann", "plan": "pro", "score": 12, "empty": ""}


def record(**fields: Any) -> StepInput:
    return StepInput(
        **{"contact": CONTACT, "values": {"n": 5}, "job": {"id": 3}, "key": "3-1-1", "record_id": 9}
        | fields
    )


def run(kind: str, config: dict[str, Any], **fields: Any) -> Any:
    step = {"name": "s", "kind": kind, "config": config}
    compiled: Any = compile_step(step, secrets={}, effort="")
    return compiled.run(record(**fields))


def test_template_and_set() -> None:
    made = run("template", {"field": "message", "template": "Hi {{ contact.first_name }}"})
    assert made == Continue({"message": "Hi Ann"}, {"message": "Hi Ann"})
    rows = [
        {"name": "a", "template": "{{ values.n | plus: 1 }}", "type": "number"},
        {"name": "b", "template": "Yes", "type": "flag"},
        {"name": "c", "template": '[1, {"x": 2}]', "type": "json"},
        {"name": "d", "template": "{{ contact.nope }}", "type": "number"},
        {"name": "e", "template": "1.5"},
    ]
    assert run("set", {"fields": rows}).values == {
        "a": 6, "b": True, "c": [1, {"x": 2}], "d": None, "e": "1.5",
    }  # fmt: skip
    failed = run("set", {"fields": [{"name": "a", "template": "nan", "type": "number"}]})
    assert isinstance(failed, Failed)
    assert "Field a: 'nan' is not a number" in failed.error


@pytest.mark.parametrize(
    ("field", "operator", "value", "holds"),
    [
        ("contact.plan", "equals", "PRO", True), ("contact.plan", "not_equals", "pro", False),
        ("contact.name", "contains", "lee", True), ("contact.name", "starts_with", "ann", True),
        ("contact.score", "greater", "9", True), ("contact.score", "at_most", "11.5", False),
        ("contact.score", "equals", "12.0", True), ("contact.nope", "less", "5", False),
        ("contact.empty", "is_empty", "", True), ("contact.nope", "is_not_empty", "", False),
        ("contact.plan", "in", "free, pro", True), ("values.n", "at_least", "{{ contact.score }}", False),
        ("contact.name", "not_contains", "bo", True),
    ],
)  # fmt: skip
def test_comparisons(field: str, operator: str, value: str, holds: bool) -> None:
    rows = [{"field": field, "operator": operator, "value": value}]
    made = run("condition", {"rows": rows, "on_false": "skip", "on_false_step": "later"})
    assert isinstance(made, Continue if holds else GoTo)


def test_a_condition_ends_or_skips_and_says_why() -> None:
    config = {
        "by": "expression", "expression": "contact.score > 20", "on_false": "end",
        "on_false_outcome": "too-low {{ contact.score }}",
    }  # fmt: skip
    made = run("condition", config)
    assert made == End("too-low 12", {}, "contact.score > 20 does not hold")
    rows = [{"field": "contact.plan", "operator": "equals", "value": "pro"}]
    made = run(
        "condition",
        {"rows": rows, "on_true": "skip", "on_true_step": "send", "on_false": "continue"},
    )
    assert (made.step_name, made.reason) == ("send", "contact.plan is “pro” holds")


def test_waits_and_outcomes() -> None:
    now = datetime.now(UTC)
    held = run("wait", {"for": "time", "until": "1h 30m"})
    assert held.kind == "until"
    assert abs(held.until - now - timedelta(minutes=90)) < timedelta(seconds=20)
    fixed = run("wait", {"for": "time", "until": "{{ contact.name }}"})
    assert "neither a length of time nor a time" in fixed.error
    assert run("wait", {"for": "time", "until": "2020-01-31T09:00"}).until.tzinfo is UTC
    held = run("wait", {"for": "approval", "prompt": "Send to {{ contact.name }}?"})
    assert (held.kind, held.prompt, held.on_timeout) == ("approval", "Send to Ann Lee?", "fail")
    assert run("wait", {"for": "callback", "give_up_after": ""}) == Hold("callback", None, "fail")
    ended = run(
        "outcome", {"outcome": "ok ", "metadata": [{"name": "n", "value": "{{ values.n }}"}]}
    )
    assert ended == End("ok", {"n": "5"})


def test_callback_tokens_are_genuine_or_nothing() -> None:
    token = make_token(9, "answer-1")
    assert read_token(token) == (9, "answer-1")
    assert read_token(token.replace("9.", "8.", 1)) is None
    assert read_token(token[:-1] + ("0" if token[-1] != "0" else "1")) is None
    assert read_token("") is None
    assert len(hash_token(token)) == 64
    made = run("template", {"field": "u", "template": "{{ callback_urls.answer-1 }}"})
    assert made.values["u"] == callback_url(9, "answer-1")
    assert made.values["u"].endswith(token)


@pytest.fixture
def python_steps() -> Iterator[None]:
    """The example of docs/steps.md, "Steps in Python"."""

    @register("score", label="Score", fields=[Field(name="bonus", type="number", default=1)])
    def score(record: StepInput, config: dict[str, Any]) -> dict[str, Any]:
        if not record.contact.get("name"):
            raise StepFailed("The contact has no name.", "configuration")
        return {"score": len(record.contact["name"]) + config["bonus"]}

    @register("page-on-call", effect="unsafe", fields=[Field(name="token", type="secret")])
    async def page(record: StepInput, config: dict[str, Any], clients: Clients) -> dict[str, Any]:
        if record.contact.get("busy"):
            raise RetryLater("The pager is busy.", after_seconds=5)
        if record.contact.get("broken"):
            raise RuntimeError(f"lost while using {config['token']}")
        return {"paged": record.key}

    yield
    registry.unregister("score")
    registry.unregister("page-on-call")


async def test_steps_written_in_python(python_steps: None) -> None:
    assert run("score", {}).values == {"score": 8}
    assert run("score", {"bonus": 3}).values == {"score": 10}
    assert run("score", {}, contact={}) == Failed("The contact has no name.", "configuration")
    problems = validate({"steps": [{"name": "a", "kind": "score", "config": {"bonus": "x"}}]})
    assert str(problems[0]) == "Step 1 (a), field Bonus: should be a number."
    step = {"name": "p", "kind": "page-on-call", "config": {"token": "PAGER"}}
    effect: Any = compile_step(step, secrets={"PAGER": "s3cret"}, effort="")
    assert (effect.is_effect, effect.effect_class) == (True, "unsafe")

    async def perform(**contact: Any) -> Any:
        prepared = effect.prepare(record(contact=contact))
        assert isinstance(prepared, Prepared)
        assert "s3cret" not in str(prepared.shown)
        return await effect.perform(prepared, None)

    assert (await perform()).values == {"paged": "3-1-1"}
    assert await perform(busy=1) == Retry("The pager is busy.", after_seconds=5)
    broken = await perform(broken=1)
    assert isinstance(broken, Uncertain)
    assert "s3cret" not in broken.error
    with pytest.raises(TypeError, match="async"):
        register("bad", effect="safe")(lambda record, config, clients: None)
    with pytest.raises(registry.UnknownKind):
        compile_step({"name": "x", "kind": "gone", "config": {}}, secrets={})


def test_a_dry_run_sends_nothing_and_says_what_it_would_send() -> None:
    definition = {
        "steps": [
            {"name": "compose", "kind": "template",
             "config": {"field": "m", "template": "Hi {{ contact.nick }}"}},
            {"name": "check", "kind": "condition",
             "config": {"rows": [{"field": "contact.plan", "value": "pro"}], "on_true": "skip",
                        "on_true_step": "send", "on_false": "continue"}},
            {"name": "between", "kind": "template", "config": {"field": "x", "template": "y"}},
            {"name": "send", "kind": "http",
             "config": {"url": "https://api.example.com/x?k={{ secrets.KEY }}", "body_type": "json",
                        "headers": [{"name": "Authorization", "value": "Bearer {{ secrets.KEY }}"}],
                        "body": '{"m": "{{ values.m }}"}',
                        "mapping": [{"path": "id", "field": "order"}]}},
            {"name": "hold", "kind": "wait", "config": {"for": "approval", "prompt": "Go?"}},
            {"name": "done", "kind": "outcome", "config": {"outcome": "sent {{ values.order }}"}},
        ]
    }  # fmt: skip
    entries = dry_run(definition, CONTACT, secrets={"KEY": "t0p-s3cret"})
    assert [e["status"] for e in entries] == [
        "completed", "completed", "skipped", "completed", "completed", "completed",
    ]  # fmt: skip
    assert entries[0]["notes"] == ["contact.nick is empty: this contact has no such field."]
    assert entries[3]["input"]["body"] == '{"m": "Hi "}'
    assert entries[3]["notes"] == ["Test only: not sent."]
    assert "t0p-s3cret" not in str(entries)
    assert entries[4]["output"]["prompt"] == "Go?"
    assert "values.order comes from send" in entries[5]["notes"][0]
    assert entries[5]["outcome"] == "sent"
    broken = dry_run({"steps": [{"name": "a", "kind": "nope"}]}, CONTACT)
    assert broken[0]["status"] == "failed"
    assert dry_run({"steps": ["x"]}, CONTACT)[0]["status"] == "failed"


async def test_the_examples_of_the_documentation_run(settings: Any) -> None:
    text = (settings.BASE_DIR / "docs" / "steps.md").read_text()
    blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    try:
        for block in blocks:
            exec(compile(block, "docs/steps.md", "exec"), {})  # noqa: S102  # our own documentation
        assert run("score", {}).values == {"score": 8}
        async with open_rig() as rig:
            settings.INTERNAL_HOSTS = [f"127.0.0.1:{rig.port}"]
            config = {"url": rig.answer("/page"), "token": "PAGER"}
            made = await perform("page", config, secrets={"PAGER": "s3cret"})
            assert made == Continue({"page_status": 200}, {"page_status": 200})
            assert rig.seen[0][2]["Authorization"] == "Bearer s3cret"
            rig.answer("/page", 503)
            assert isinstance(await perform("page", config, secrets={}), Retry)
    finally:
        registry.unregister("score")
        registry.unregister("page")


def test_the_definition_of_the_documentation_is_valid(settings: Any) -> None:
    import json

    text = (settings.BASE_DIR / "docs" / "steps.md").read_text()
    definition = json.loads(text.split("```json\n")[1].split("```")[0])
    assert validate(definition, secrets=set()) == []
