"""The `email` step: one message a record, over SMTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr, formatdate, getaddresses
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings

from jobs.steps import guard
from jobs.steps.base import (
    Clients,
    Continue,
    EffectClass,
    EffectResult,
    Failed,
    Prepared,
    Retry,
    StepInput,
    Uncertain,
)
from jobs.steps.clients import MaybeSent, NotSent
from jobs.steps.names import Names
from jobs.steps.smtp import Account
from jobs.steps.values import excerpt
from projects.secrets import Masker
from projects.steps.message_kinds import EMAIL, SMTP_PORTS
from projects.templating import TemplateProblem, compile_template

TEMPLATES = ("to", "cc", "subject", "body", "html", "from", "reply_to")
MAX_RECIPIENTS = 50


@dataclass(slots=True)
class Letter:
    sender: str
    recipients: list[str]
    message: bytes


class EmailStep:
    """*Unsafe*: no reply after the message has left means that a person decides. The Message-ID
    is made from the key, so that receivers can tell a message sent again."""

    is_effect: ClassVar[bool] = True
    effect_class: EffectClass = "unsafe"

    def __init__(self, config: dict[str, Any], secrets: Mapping[str, str]):
        get = lambda name: EMAIL.get(config, name)  # noqa: E731
        self.max_attempts = int(get("max_attempts"))
        self.timeout_seconds = float(get("timeout_seconds"))
        self.keeps_time = False
        self.concurrency = int(get("concurrency"))
        self.templates = {name: compile_template(str(get(name) or "")) for name in TEMPLATES}
        self.names = Names(list(self.templates.values()))
        self.password_name = str(config.get("password") or "") if get("via") == "own" else ""
        password = secrets.get(self.password_name, "")
        self.masker = Masker({"password": password})
        if get("via") == "own":
            self.account = Account(
                get("host"), int(get("port")), get("security"), get("username") or "", password
            )
        else:
            self.account = portal_account()

    def prepare(self, record: StepInput) -> Prepared | Failed:
        problem = self._account_problem()
        if problem:
            return Failed(problem, "configuration")
        names = self.names.of(record)
        try:
            texts = {name: template.render(names) for name, template in self.templates.items()}
            letter, to = self._letter(texts, record.key)
        except TemplateProblem as error:
            return Failed(f"The message failed to build: {error}.", "configuration")
        except ValueError as error:
            return Failed(f"The message cannot be sent: {error}.", "configuration")
        shown = {
            "to": to, "from": texts["from"] or settings.DEFAULT_FROM_EMAIL,
            "subject": texts["subject"].strip(), "body": excerpt(texts["body"] or texts["html"]),
        }  # fmt: skip
        return Prepared(
            host=f"smtp:{self.account.host}", request=letter, shown=self.masker.tree(shown),
            key=record.key,
        )  # fmt: skip

    def _account_problem(self) -> str:
        if not self.account.host:
            return (
                "The portal has no mail server. Set SPINDLE_SMTP_URL, or give the step a mail "
                "server of its own."
            )
        if self.password_name and not self.account.password:
            return (
                f"There is no secret {self.password_name!r} (or it cannot be decrypted). "
                "An admin sets it under Settings, Secrets."
            )
        account = self.account
        is_open = account.is_portal or account.port in SMTP_PORTS
        if not is_open and not guard.is_exempt(account.host, account.port):
            ports = ", ".join(map(str, SMTP_PORTS))
            return f"Port {account.port} is not a mail port (open are {ports})."
        return ""

    def _letter(self, texts: dict[str, str], key: str) -> tuple[Letter, str]:
        to, copies = addresses(texts["to"], "To"), addresses(texts["cc"], "Cc")
        if not to:
            raise ValueError("there is no address to send to")
        if len(to) + len(copies) > MAX_RECIPIENTS:
            raise ValueError(f"more than {MAX_RECIPIENTS} recipients")
        sender = addresses(texts["from"] or settings.DEFAULT_FROM_EMAIL, "From")
        if len(sender) != 1:
            raise ValueError("From should be one address")
        message = EmailMessage(policy=SMTP)
        message["From"] = formataddr(sender[0])
        message["To"] = ", ".join(map(formataddr, to))
        if copies:
            message["Cc"] = ", ".join(map(formataddr, copies))
        if texts["reply_to"].strip():
            message["Reply-To"] = ", ".join(map(formataddr, addresses(texts["reply_to"], "Reply")))
        message["Subject"] = " ".join(texts["subject"].split())
        message["Date"] = formatdate()
        message["Message-ID"] = message_id(key)
        message["Auto-Submitted"] = "auto-generated"
        if texts["body"] or not texts["html"]:
            message.set_content(texts["body"])
            if texts["html"]:
                message.add_alternative(texts["html"], subtype="html")
        else:
            message.set_content(texts["html"], subtype="html")
        recipients = [address for _, address in [*to, *copies]]
        return Letter(sender[0][1], recipients, message.as_bytes()), str(message["To"])

    async def perform(self, prepared: Prepared, clients: Clients) -> EffectResult:
        letter: Letter = prepared.request
        try:
            answer = await clients.smtp.send(
                self.account, letter.sender, letter.recipients, letter.message,
                self.timeout_seconds,
            )  # fmt: skip
        except NotSent as error:
            text = self._sentence(str(error))
            if error.is_final:
                return Failed(text, error.error_type)
            return Retry(text, error.error_type)
        except MaybeSent as error:
            return Uncertain(self._sentence(str(error)))
        return Continue({}, {"answer": answer, "message_id": message_id(prepared.key)})

    async def probe(self, prepared: Prepared, clients: Clients) -> EffectResult | None:
        return Uncertain("A message that has left cannot be looked up.")

    def _sentence(self, text: str) -> str:
        text = self.masker.text(excerpt(text, 500))
        return f"{text[:1].upper()}{text[1:]}."


def portal_account() -> Account:
    security = "tls" if settings.EMAIL_USE_SSL else "starttls" if settings.EMAIL_USE_TLS else "none"
    return Account(
        settings.EMAIL_HOST, int(settings.EMAIL_PORT), security, settings.EMAIL_HOST_USER,
        settings.EMAIL_HOST_PASSWORD, is_portal=True,
    )  # fmt: skip


def message_id(key: str) -> str:
    return f"<spindle-{key}@{urlsplit(settings.BASE_URL).hostname or 'localhost'}>"


def addresses(text: str, field: str) -> list[tuple[str, str]]:
    """(name, address) of each; ValueError for anything that is not an address."""
    text = text.strip().replace(";", ",")
    if not text:
        return []
    if not text.isprintable():
        raise ValueError(f"{field} holds a line break")
    found = []
    for name, address in getaddresses([text]):
        local, _, domain = address.rpartition("@")
        if not local or not domain or not local.isascii() or " " in address:
            raise ValueError(f"{field}: {(address or text)[:80]!r} is not an e-mail address")
        try:
            host = domain.encode("idna").decode()
        except UnicodeError:
            raise ValueError(f"{field}: {address[:80]!r} is not an e-mail address") from None
        found.append((name, f"{local}@{host}"))
    return found
