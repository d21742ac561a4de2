"""The email and ai steps against real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.policy import default as modern
from typing import Any

import pytest

from jobs.steps.base import Continue, Failed, Retry, Uncertain
from jobs.steps.clients import Clients
from jobs.steps.smtp import Account
from tests.jobs.effects_rig import Rig, open_rig, perform


class MailServer:
    """Just enough SMTP to misbehave at every point; `fails_at` = (command, reply or "drop")."""

    def __init__(self) -> None:
        self.port = 0
        self.messages: list[bytes] = []
        self.connections = 0
        self.fails_at: tuple[str, str] = ("", "")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 ready\r\n")
        try:
            while line := await reader.readline():
                command = line.decode().strip().split(" ")[0].upper()
                if command == "DATA" and self.fails_at[0] != "DATA":
                    writer.write(b"354 go\r\n")
                    message = await reader.readuntil(b"\r\n.\r\n")
                    command = "DOT"
                    self.messages.append(message)
                if self.fails_at[0] == command:
                    if self.fails_at[1] == "drop":
                        return
                    writer.write(self.fails_at[1].encode() + b"\r\n")
                else:
                    writer.write(b"250 ok\r\n" if command != "QUIT" else b"221 bye\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def mail(settings: Any) -> AsyncIterator[MailServer]:
    server = MailServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = ""
    yield server
    listening.close()


MAIL = {
    "subject": "Your plan, {{ contact.name }}", "body": "Hello ä\n.\nline", "html": "<p>Hello</p>",
    "from": "Team <team@example.com>", "reply_to": "help@example.com",
}  # fmt: skip


async def test_a_message_is_sent_with_a_stable_message_id(mail: MailServer) -> None:
    made = await perform("email", MAIL)
    assert isinstance(made, Continue)
    message = message_from_bytes(mail.messages[0].removesuffix(b".\r\n"), policy=modern)
    assert message["To"] == "ann@example.com"
    assert message["From"] == "Team <team@example.com>"
    assert message["Subject"] == "Your plan, Ann"
    assert message["Message-ID"] == made.output["message_id"] == "<spindle-3-1-2@127.0.0.1>"
    body = message.get_body(("plain",))
    assert body is not None
    assert "Hello ä" in body.get_content()


@pytest.mark.parametrize(
    ("fails_at", "result", "error"),
    [
        (("RCPT", "550 unknown"), Failed, "Ann@example.com was refused: 550"),
        (("RCPT", "450 later"), Retry, "450 later"),
        (("MAIL", "drop"), Retry, "went away"),
        (("DATA", "451 later"), Retry, "451 later"),
        (("DOT", "554 spam"), Failed, "554 spam"),
        (("DOT", "452 full"), Retry, "452 full"),
        (("DOT", "drop"), Uncertain, "did not confirm the message"),
        (("EHLO", "drop"), Retry, "went away"),
    ],
)
async def test_failures_are_classed_by_how_far_the_message_came(
    mail: MailServer, fails_at: tuple[str, str], result: type, error: str
) -> None:
    """F15: no reply after DATA is the one uncertain case."""
    mail.fails_at = fails_at
    made = await perform("email", MAIL)
    assert type(made) is result, made
    assert error.lower() in made.error.lower()


async def test_a_connection_is_kept_and_a_stale_one_replaced(mail: MailServer) -> None:
    account = Account("127.0.0.1", mail.port, "none", is_portal=True)
    async with Clients() as clients:
        for _ in range(2):
            await clients.smtp.send(account, "a@b.c", ["d@e.f"], b"Subject: x\r\n\r\ny\r\n", 5)
        assert (mail.connections, len(mail.messages)) == (1, 2)
        mail.fails_at = ("RSET", "drop")
        await clients.smtp.send(account, "a@b.c", ["d@e.f"], b"Subject: x\r\n\r\ny\r\n", 5)
        assert (mail.connections, len(mail.messages)) == (2, 3)


async def test_what_is_not_an_address_is_not_sent(mail: MailServer, settings: Any) -> None:
    for config, contact, message in [
        (MAIL, {}, "no address to send to"),
        (MAIL, {"email": "nobody"}, "not an e-mail address"),
        (MAIL, {"email": "a@b.c\r\nBcc: x@y.z"}, "line break"),
        (MAIL | {"from": "nobody"}, {"email": "a@b.c"}, "not an e-mail address"),
        (
            MAIL | {"via": "own", "host": "127.0.0.1", "port": 25, "password": "GONE"},
            {"email": "a@b.c"}, "no secret 'GONE'",
        ),
    ]:  # fmt: skip
        made = await perform("email", config, contact=contact)
        assert isinstance(made, Failed)
        assert message in made.error
    own = MAIL | {"via": "own", "host": "127.0.0.1", "port": 25, "security": "none"}
    inside = await perform("email", own)
    assert "not a public address" in inside.error  # S03
    settings.EMAIL_HOST = ""
    assert "SPINDLE_SMTP_URL" in (await perform("email", MAIL)).error
    assert mail.connections == 0


@pytest.fixture
async def rig(settings: Any) -> AsyncIterator[Rig]:
    async with open_rig() as opened:
        settings.INTERNAL_HOSTS = [f"127.0.0.1:{opened.port}"]
        yield opened


ASK = {"prompt": "Summarise: {{ contact.name }}", "system": "Be brief.", "api_key": "KEY"}
SECRETS = {"KEY": "sk-canary-1"}
ANTHROPIC = {"content": [{"type": "text", "text": "Sure."}], "usage": {"input_tokens": 3}}
OPENAI = {"choices": [{"message": {"content": '```json\n{"ok": true}\n```'}}]}


async def test_both_formats_and_the_model_by_effort(rig: Rig, settings: Any) -> None:
    config = ASK | {"endpoint": rig.answer("/v1/messages", 200, ANTHROPIC), "model_max": "big"}
    made = await perform("ai", config, secrets=SECRETS, effort="max")
    assert made.values == {"answer": "Sure."}
    _, _, headers, body = rig.seen[0]
    assert headers["x-api-key"] == "sk-canary-1"
    assert headers["anthropic-version"]
    assert json.loads(body) == {
        "model": "big", "max_tokens": 1024, "system": "Be brief.",
        "messages": [{"role": "user", "content": "Summarise: Ann"}],
    }  # fmt: skip
    config = ASK | {
        "provider": "openai", "endpoint": rig.answer("/v1/chat", 200, OPENAI), "reply": "json",
        "field": "facts",
    }  # fmt: skip
    made = await perform("ai", config, secrets=SECRETS, effort="medium")
    assert made.values == {"facts": {"ok": True}}
    _, _, headers, body = rig.seen[1]
    assert headers["Authorization"] == "Bearer sk-canary-1"
    assert json.loads(body)["model"] == settings.AI_MODELS["openai"]["medium"]


@pytest.mark.parametrize(
    ("status", "body", "result", "error_type"),
    [
        (529, {"error": {"message": "Overloaded"}}, Retry, "provider_error"),
        (429, {"error": {"message": "slow down"}}, Retry, "provider_error"),
        (429, {"error": {"code": "insufficient_quota", "message": "no"}}, Failed, "insufficient_credits"),
        (400, {"error": {"message": "Your credit balance is too low"}}, Failed, "insufficient_credits"),
        (402, {}, Failed, "insufficient_credits"), (401, {}, Failed, "configuration"),
        (404, {"error": {"message": "no such model"}}, Failed, "configuration"),
        (400, {"error": "bad request"}, Failed, "provider_error"),
        (500, {}, Retry, "provider_error"), (504, {}, Retry, "llm_timeout"),
        (200, {"nothing": "here"}, Retry, "provider_error"),
        (200, {"content": [{"type": "text", "text": "not json"}]}, Retry, "provider_error"),
    ],
)  # fmt: skip
async def test_a_models_failures_have_a_type_that_says_what_to_do(
    rig: Rig, status: int, body: Any, result: type, error_type: str
) -> None:
    config = ASK | {"endpoint": rig.answer("/m", status, body), "reply": "json"}
    made = await perform("ai", config, secrets=SECRETS)
    assert (type(made), made.error_type) == (result, error_type)


async def test_a_slow_model_times_out_and_a_reply_is_only_data(rig: Rig) -> None:
    """S18"""
    slow = ASK | {"endpoint": rig.hang("/slow"), "timeout_seconds": 1}
    made = await perform("ai", slow, secrets=SECRETS)
    assert (type(made), made.error_type) == (Retry, "llm_timeout")
    assert isinstance(await perform("ai", slow | {"repeat": "ask"}, secrets=SECRETS), Uncertain)
    evil = "{{ secrets.KEY }} sk-canary-1 \0" + "x" * 100_000
    body = {"content": [{"type": "text", "text": evil}]}
    config = ASK | {"endpoint": rig.answer("/evil", 200, body)}
    made = await perform("ai", config, secrets=SECRETS)
    assert len(made.values["answer"]) == 64 * 1024
    assert made.values["answer"].startswith("{{ secrets.KEY }} •••••• x")
    assert "sk-canary-1" not in str(made)
    missing = await perform("ai", ASK, secrets={})
    assert missing.error_type == "configuration"
