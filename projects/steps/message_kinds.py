"""The kinds `email` and `ai`."""

import re
from collections.abc import Iterable
from typing import Any

from projects.steps.fields import Field, Finding, StepSpec
from projects.steps.kinds import ATTEMPTS, FIELD_NAME, TIMEOUT, check_url
from projects.steps.registry import add

OWN = ("via", ("own",))
SMTP_PORTS = (25, 465, 587, 2525)


def _check_email(config: dict[str, Any]) -> Iterable[Finding]:
    if not config.get("body") and not config.get("html"):
        yield "body", "write the message as text, as HTML, or both"
    sender = str(config.get("from") or "")
    if sender and "{" not in sender and not re.search(r"[^@\s<]+@[^@\s>]+", sender):
        yield "from", f"{sender!r} is not an e-mail address"
    if config.get("via") == "own" and not config.get("from"):
        yield "from", "is needed with a mail server of your own"
    if config.get("username") and not config.get("password"):
        yield "password", "name the secret that holds the password"


EMAIL = add(
    StepSpec(
        kind="email", label="E-mail", is_effect=True, check=_check_email,
        description="Sends a message over SMTP. When the connection breaks after the message has "
        "left, a person decides whether to send it again.",
        fields=(
            Field(name="to", label="To", is_required=True, is_template=True,
                  default="{{ contact.email }}", max_length=1_000),
            Field(name="cc", label="Cc", is_template=True, max_length=1_000),
            Field(name="subject", is_required=True, is_template=True, max_length=500),
            Field(name="body", label="Text", type="area", is_template=True, max_length=20_000),
            Field(name="html", label="HTML", type="area", is_template=True, max_length=20_000,
                  help="Optional. Use | escape for fields."),
            Field(name="from", label="From", is_template=True, max_length=300,
                  help="Empty: the portal's address."),
            Field(name="reply_to", label="Reply to", is_template=True, max_length=300),
            Field(
                name="via", label="Mail server", type="choice", default="portal",
                choices=(("portal", "The portal's"), ("own", "Your own")),
            ),
            Field(name="host", label="Host", is_required=True, max_length=253, shown_when=OWN,
                  placeholder="smtp.example.com"),
            Field(
                name="security", type="choice", default="starttls", shown_when=OWN,
                choices=(("starttls", "STARTTLS"), ("tls", "TLS"), ("none", "None")),
            ),
            Field(name="port", type="number", default=587, lowest=1, highest=65_535,
                  shown_when=OWN),
            Field(name="username", label="User name", max_length=300, shown_when=OWN),
            Field(name="password", label="Password", type="secret", shown_when=OWN),
            TIMEOUT,
            ATTEMPTS,
            Field(name="concurrency", label="At once", type="number", default=5, lowest=1,
                  highest=50),
        ),
    )
)  # fmt: skip


def _check_ai(config: dict[str, Any]) -> Iterable[Finding]:
    yield from check_url(str(config.get("endpoint") or ""), "endpoint")
    name = str(config.get("field") or "")
    if name and not FIELD_NAME.match(name):
        yield "field", f"{name!r} should begin with a letter and hold letters, digits and _ only"


AI = add(
    StepSpec(
        kind="ai", label="AI", is_effect=True, check=_check_ai,
        description="Asks a chat model. The answer is plain data: it is kept, never obeyed.",
        fields=(
            Field(
                name="provider", label="Format", type="choice", default="anthropic",
                choices=(
                    ("anthropic", "Anthropic Messages"), ("openai", "OpenAI chat completions"),
                ),
            ),
            Field(name="endpoint", label="URL", max_length=2_000,
                  placeholder="https://api.anthropic.com/v1/messages",
                  help="Empty: the provider's own. Any server that speaks the format will do."),
            Field(name="api_key", label="API key", type="secret",
                  help="A secret. Empty: the server needs none."),
            Field(name="system", label="System prompt", type="area", is_template=True,
                  max_length=20_000),
            Field(name="prompt", type="area", is_required=True, is_template=True,
                  max_length=20_000),
            Field(name="field", label="Save as", is_required=True, default="answer",
                  max_length=64, help="Later steps read it as {{ values.NAME }}."),
            Field(name="reply", label="Answer is", type="choice", default="text",
                  choices=(("text", "Text"), ("json", "JSON"))),
            Field(name="max_tokens", label="Longest answer (tokens)", type="number", default=1_024,
                  lowest=1, highest=32_000),
            Field(name="model_max", label="Model at effort MAX", max_length=120,
                  help="Empty: the portal's choice."),
            Field(name="model_high", label="Model at effort HIGH", max_length=120),
            Field(name="model_medium", label="Model at effort MEDIUM", max_length=120),
            Field(name="temperature", type="number", default=None, lowest=0, highest=2),
            Field(
                name="repeat", label="If it is unknown whether a call arrived", type="choice",
                default="repeat",
                choices=(
                    ("repeat", "Ask again (it may cost twice)"), ("ask", "Ask a person"),
                ),
            ),
            Field(name="timeout_seconds", label="Time limit (seconds)", type="number", default=120,
                  lowest=1, highest=600),
            ATTEMPTS,
            Field(name="concurrency", label="At once", type="number", default=10, lowest=1,
                  highest=100),
        ),
    )
)  # fmt: skip
