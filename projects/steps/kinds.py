"""Spindle's own kinds of step: what each asks for and checks (jobs/steps/ runs them)."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from projects.steps.durations import LONGEST, duration_seconds
from projects.steps.fields import Field, Finding, StepSpec, value_of
from projects.steps.registry import add
from projects.steps.statuses import parse_statuses

OPERATORS = (
    ("equals", "is"),
    ("not_equals", "is not"),
    ("contains", "contains"),
    ("not_contains", "does not contain"),
    ("starts_with", "begins with"),
    ("greater", "is greater than"),
    ("at_least", "is at least"),
    ("less", "is less than"),
    ("at_most", "is at most"),
    ("is_empty", "is empty"),
    ("is_not_empty", "is not empty"),
    ("in", "is one of (comma-separated)"),
)
PATH = re.compile(r"^(contact|values|job)(\.[A-Za-z0-9_][A-Za-z0-9_ -]*){1,8}$")
FIELD_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")
JSON_PATH = re.compile(r"^\$?\.?[A-Za-z0-9_@-]+(\.[A-Za-z0-9_@-]+|\[-?\d{1,5}\])*$|^\$$")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
BRANCHES = (("continue", "Go on"), ("skip", "Skip to a later step"), ("end", "End with an outcome"))

VALUE_NAME = Field(
    name="field", label="Save as", is_required=True, placeholder="message",
    help="Later steps read it as {{ values.NAME }}.", max_length=64,
)  # fmt: skip


def _field_name(config: dict[str, Any], name: str = "field") -> Iterable[Finding]:
    text = str(config.get(name, ""))
    if text and not FIELD_NAME.match(text):
        yield name, f"{text!r} should begin with a letter and hold letters, digits and _ only"


TEMPLATE = add(
    StepSpec(
        kind="template", label="Text", check=_field_name,
        description="Writes a text from the contact's fields and keeps it for later steps.",
        fields=(
            VALUE_NAME,
            Field(
                name="template", label="Text", type="area", is_required=True, is_template=True,
                max_length=20_000, placeholder="Hi {{ contact.first_name }}, …",
            ),
        ),
    )
)  # fmt: skip


def _check_set(config: dict[str, Any]) -> Iterable[Finding]:
    seen: set[str] = set()
    for row in _rows(config, "fields"):
        name = str(row.get("name", ""))
        yield from (("fields", m) for _, m in _field_name(row, "name"))
        if name in seen:
            yield "fields", f"{name!r} is set twice"
        seen.add(name)


SET = add(
    StepSpec(
        kind="set", label="Set fields", check=_check_set,
        description="Sets several fields at once, each from a text, as text, number, yes/no or JSON.",
        fields=(
            Field(
                name="fields", label="Fields", type="rows", is_required=True,
                columns=(
                    Field(name="name", label="Name", is_required=True, max_length=64),
                    Field(name="template", label="Value", is_template=True, max_length=20_000),
                    Field(
                        name="type", label="As", type="choice", default="text",
                        choices=(
                            ("text", "Text"), ("number", "Number"), ("flag", "Yes or no"),
                            ("json", "JSON"),
                        ),
                    ),
                ),
            ),
        ),
    )
)  # fmt: skip


def _check_condition(config: dict[str, Any]) -> Iterable[Finding]:
    if config.get("by", "rows") != "rows":
        return
    for row in _rows(config, "rows"):
        path = str(row.get("field", ""))
        if not PATH.match(path):
            yield "rows", f"{path!r} should be a field such as contact.plan or values.score"


def _branch(side: str, label: str, default: str) -> tuple[Field, ...]:
    return (
        Field(name=f"on_{side}", label=label, type="choice", choices=BRANCHES, default=default),
        Field(
            name=f"on_{side}_step", label="Step", type="step", is_required=True,
            shown_when=(f"on_{side}", ("skip",)), help="A later step; those between are skipped.",
        ),
        Field(
            name=f"on_{side}_outcome", label="Outcome", is_required=True, is_template=True,
            max_length=120, shown_when=(f"on_{side}", ("end",)),
        ),
    )  # fmt: skip


CONDITION = add(
    StepSpec(
        kind="condition", label="Condition", check=_check_condition,
        description="Looks at fields, then goes on, skips to a later step, or ends the record.",
        fields=(
            Field(
                name="by", label="Written as", type="choice", default="rows",
                choices=(("rows", "Comparisons"), ("expression", "An expression")),
            ),
            Field(
                name="match", label="Holds when", type="choice", default="all",
                choices=(("all", "all comparisons hold"), ("any", "any comparison holds")),
                shown_when=("by", ("rows",)),
            ),
            Field(
                name="rows", label="Comparisons", type="rows", is_required=True,
                shown_when=("by", ("rows",)),
                columns=(
                    Field(name="field", label="Field", is_required=True, placeholder="contact.plan",
                          max_length=200),
                    Field(name="operator", label="", type="choice", default="equals",
                          choices=OPERATORS),
                    Field(name="value", label="Value", is_template=True, max_length=2_000),
                ),
            ),
            Field(
                name="expression", label="Expression", type="area", is_required=True,
                is_expression=True, shown_when=("by", ("expression",)),
                placeholder='contact.plan == "pro" and values.score > 3',
            ),
            *_branch("true", "If it holds", "continue"),
            *_branch("false", "If it does not hold", "end"),
        ),
    )
)  # fmt: skip


def check_url(text: str, name: str = "url") -> Iterable[Finding]:
    """What can be said of an address before its templates are filled in."""
    if not text or text.lstrip().startswith(("{{", "{%")):
        return
    scheme, _, rest = text.strip().partition("://")
    if not rest or scheme.lower() not in ("http", "https"):
        yield name, "should begin with https:// or http://"
        return
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        yield name, "must not hold a user name or password; send them in a header, from a secret"
    elif "{" not in authority:
        try:
            if not urlsplit(text.split("{")[0].strip()).hostname:
                raise ValueError("no host")
            _ = urlsplit(f"{scheme}://{authority}").port
        except ValueError:
            yield name, "does not name a host"


def _check_http(config: dict[str, Any]) -> Iterable[Finding]:
    method = str(config.get("method", "POST"))
    yield from check_url(str(config.get("url", "")))
    if config.get("repeat", "auto") == "probe":
        yield from check_url(str(config.get("probe_url", "")), "probe_url")
    if method in ("GET", "HEAD") and config.get("body_type", "none") != "none":
        yield "body_type", f"a {method} request has no body"
    for row in _rows(config, "headers"):
        name = str(row.get("name", ""))
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", name):
            yield "headers", f"{name!r} is not a header's name"
        elif name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
            yield "headers", f"{name} is set by Spindle"
    try:
        parse_statuses(str(config.get("expected_statuses") or "200-299"))
    except ValueError as error:
        yield "expected_statuses", str(error)
    yield from check_mapping(config)


def check_mapping(config: dict[str, Any]) -> Iterable[Finding]:
    for row in _rows(config, "mapping"):
        path = str(row.get("path", ""))
        if not JSON_PATH.match(path):
            yield "mapping", f"{path!r} should be a path such as data.items[0].id"
        yield from (("mapping", m) for _, m in _field_name(row, "field"))


def _names_and_values(name: str, label: str, **options: Any) -> Field:
    return Field(
        name=name, label=label, type="rows",
        columns=(
            Field(name="name", label="Name", is_required=True, max_length=200),
            Field(name="value", label="Value", is_template=True, sees_secrets=True,
                  max_length=8_000),
        ),
        **options,
    )  # fmt: skip


CONCURRENCY = Field(
    name="concurrency", label="At once", type="number", default=50, lowest=1, highest=500,
    help="How many of these may be on their way at the same time in one worker.",
)  # fmt: skip
ATTEMPTS = Field(
    name="max_attempts", label="Attempts", type="number", default=3, lowest=1, highest=10,
    help="Only failures that surely did no harm are tried again.",
)  # fmt: skip
TIMEOUT = Field(
    name="timeout_seconds", label="Time limit (seconds)", type="number", default=30, lowest=1,
    highest=600,
)  # fmt: skip
WITH_BODY = ("method", ("POST", "PUT", "PATCH", "DELETE"))

HTTP = add(
    StepSpec(
        kind="http", label="HTTP request", is_effect=True, check=_check_http,
        description="Sends a request for each contact and keeps what you need from the answer.",
        fields=(
            Field(name="method", type="choice", default="POST",
                  choices=tuple((m, m) for m in METHODS)),
            Field(
                name="url", label="URL", is_required=True, is_template=True, sees_secrets=True,
                max_length=4_000, placeholder="https://api.example.com/contacts/{{ contact.id }}",
                help="Use | url_encode for fields that may hold spaces or slashes.",
            ),
            _names_and_values("headers", "Headers"),
            Field(
                name="body_type", label="Body", type="choice", default="none",
                choices=(("none", "None"), ("json", "JSON"), ("form", "Form"), ("text", "Text")),
                shown_when=WITH_BODY,
            ),
            Field(
                name="body", label="Body text", type="area", is_template=True, sees_secrets=True,
                json_when=("body_type", ("json",)), max_length=20_000, shown_when=("body_type", ("json", "text")),
                placeholder='{"email": "{{ contact.email }}"}',
                help="In JSON, templates inside quotes are escaped for you.",
            ),
            _names_and_values("form", "Form fields", shown_when=("body_type", ("form",))),
            Field(
                name="expected_statuses", label="Good answers", default="200-299", max_length=100,
                help="Statuses that mean it went well, such as 200-299, 404.",
            ),
            Field(
                name="mapping", label="Keep from the answer", type="rows",
                help="Paths into a JSON answer; status and headers are in the journey anyway.",
                columns=(
                    Field(name="path", label="Path", is_required=True, placeholder="data.id",
                          max_length=300),
                    Field(name="field", label="Save as", is_required=True, max_length=64),
                ),
            ),
            Field(
                name="repeat", label="If it is unknown whether a request arrived", type="choice",
                default="auto",
                choices=(
                    ("auto", "Decide by method: repeat GET, HEAD, PUT, DELETE; else ask a person"),
                    ("key", "Repeat: the receiver honours the Idempotency-Key header"),
                    ("idempotent", "Repeat: doing it twice is harmless"),
                    ("probe", "Look it up first"),
                    ("ask", "Always ask a person"),
                ),
            ),
            Field(
                name="probe_url", label="Look-up URL", is_required=True, is_template=True,
                sees_secrets=True, max_length=4_000, shown_when=("repeat", ("probe",)),
                help="A GET: a good answer means it happened, 404 that it did not. "
                "{{ key }} is the request's idempotency key.",
            ),
            TIMEOUT,
            ATTEMPTS,
            CONCURRENCY,
            Field(
                name="follow_redirects", label="Follow redirects", type="flag", default=False,
                help="Up to five; each address is checked like the first.",
            ),
            Field(
                name="max_response_kb", label="Largest answer (KB)", type="number", default=256,
                lowest=1, highest=4_096,
            ),
        ),
    )
)  # fmt: skip


def _check_wait(config: dict[str, Any]) -> Iterable[Finding]:
    if config.get("for") == "time" and "{" not in str(config.get("until", "")):
        text = str(config.get("until", ""))
        if text and duration_seconds(text) is None and not _is_moment(text):
            yield "until", f"{text!r} should be a length (2h, 3d) or a time (2026-01-31T09:00)"
    give_up = str(config.get("give_up_after") or "")
    if give_up:
        seconds = duration_seconds(give_up)
        if seconds is None or not 0 < seconds <= LONGEST:
            yield "give_up_after", f"{give_up!r} should be a length up to a year, such as 7d"


def _is_moment(text: str) -> bool:
    from datetime import datetime

    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


WAIT = add(
    StepSpec(
        kind="wait", label="Wait", check=_check_wait,
        description="Holds the record until a person approves, an address is called, or a time.",
        fields=(
            Field(
                name="for", label="Wait for", type="choice", default="approval",
                choices=(
                    ("approval", "A person's approval"), ("callback", "A callback"),
                    ("time", "A time"),
                ),
            ),
            Field(
                name="prompt", label="Question", type="area", is_template=True, max_length=2_000,
                shown_when=("for", ("approval",)), placeholder="Send this to {{ contact.name }}?",
            ),
            Field(
                name="until", label="Until", is_required=True, is_template=True, max_length=300,
                shown_when=("for", ("time",)), placeholder="2h",
                help="A length from now (30m, 2h, 3d) or a time; without a zone it is UTC.",
            ),
            Field(
                name="give_up_after", label="Give up after", default="7d", max_length=20,
                shown_when=("for", ("approval", "callback")), help="Empty: never.",
            ),
            Field(
                name="on_timeout", label="Then", type="choice", default="fail",
                choices=(("fail", "Fail the record"), ("continue", "Go on")),
                shown_when=("for", ("approval", "callback")),
            ),
        ),
    )
)  # fmt: skip

OUTCOME = add(
    StepSpec(
        kind="outcome", label="Outcome",
        description="Ends the record with a named outcome and facts about it.",
        fields=(
            Field(name="outcome", label="Outcome", is_required=True, is_template=True,
                  max_length=400, placeholder="delivered"),
            Field(
                name="metadata", label="Facts", type="rows",
                columns=(
                    Field(name="name", label="Name", is_required=True, max_length=64),
                    Field(name="value", label="Value", is_template=True, max_length=4_000),
                ),
            ),
        ),
    )
)  # fmt: skip


def _rows(config: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = config.get(name) or []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def effect_class_of_http(config: dict[str, Any]) -> str:
    """safe, checkable or unsafe: what may be done when a request's fate is unknown."""
    repeat = config.get("repeat") or "auto"
    if repeat == "auto":
        method = value_of(config, HTTP.fields, "method")
        return "safe" if method in ("GET", "HEAD", "PUT", "DELETE") else "unsafe"
    return {"key": "safe", "idempotent": "safe", "probe": "checkable"}.get(repeat, "unsafe")
