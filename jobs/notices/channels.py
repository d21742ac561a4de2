"""How a notice leaves the portal. Both raise NotSent or MaybeSent, as an effect step does."""

import asyncio
import json
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr, formatdate

from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.message import EmailMessage as DjangoMessage
from django.template.loader import render_to_string
from yarl import URL

from accounts.models import User
from jobs.models import Notice
from jobs.notices import rules, words
from jobs.steps.clients import HttpAnswer, HttpClient, HttpRequest, MaybeSent, NotSent
from jobs.steps.email import addresses, message_id, portal_account
from jobs.steps.smtp import SmtpClient
from projects.secrets import Masker

TIMEOUT_SECONDS = 15.0
LISTED = 20  # of many notices in one message
TEST = "This is a test: notices of jobs you follow reach you here."


def email(user: User, key: str, notices: Sequence[Notice]) -> None:
    """One plain mail about these notices; about none, a test. `key` makes its Message-ID."""
    subject = summary(notices) if notices else "A test notice from Spindle"
    text = render_to_string(
        "jobs/notice_mail.txt",
        {
            "lines": [_line(notice) for notice in notices[:LISTED]],
            "more": max(0, len(notices) - LISTED),
            "test": "" if notices else TEST,
            "notices_url": words.page_link("jobs:notices"),
            "rules_url": words.page_link("jobs:notice_rules"),
        },
    )
    _mail(user, subject[:200], text, key)


def _line(notice: Notice) -> dict[str, object]:
    return {
        "notice": notice, "headline": words.headline(notice), "reason": words.reason(notice),
        "url": words.job_link(notice),
    }  # fmt: skip


def summary(notices: Sequence[Notice]) -> str:
    if len(notices) == 1:
        return words.headline(notices[0])
    failures = sum(words.is_failure(notice) for notice in notices)
    return f"{len(notices):,} jobs ended" + (f", {failures:,} with failures" if failures else "")


def _mail(user: User, subject: str, text: str, key: str) -> None:
    if not settings.EMAIL_HOST:
        _mail_by_backend(user, subject, text)
        return
    try:
        sender = addresses(settings.DEFAULT_FROM_EMAIL, "From")[0]
        recipient = addresses(user.email, "To")[0][1]
    except (ValueError, IndexError) as error:
        raise NotSent(str(error), "configuration", is_final=True) from None
    message = EmailMessage(policy=SMTP)
    message["From"] = formataddr(sender)
    message["To"] = formataddr((" ".join(user.display_name.split()), recipient))
    message["Subject"] = " ".join(subject.split())
    message["Date"] = formatdate()
    message["Message-ID"] = message_id(f"notice-{key}")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    asyncio.run(_send_mail(sender[1], recipient, message.as_bytes()))


async def _send_mail(sender: str, recipient: str, message: bytes) -> None:
    client = SmtpClient()
    try:
        await client.send(portal_account(), sender, [recipient], message, TIMEOUT_SECONDS)
    finally:
        await client.close()


def _mail_by_backend(user: User, subject: str, text: str) -> None:
    """Without a mail server mail is printed in the log (docs/settings.md)."""
    message = DjangoMessage(subject, text, settings.DEFAULT_FROM_EMAIL, [user.email])
    message.connection = get_connection()
    message.send()


def slack(user: User, notices: Sequence[Notice]) -> None:
    """One message to the person's incoming webhook; about no notice, a test."""
    url = rules.slack_url_of(rules.rules_of(user))
    if not url:
        raise NotSent("there is no Slack address (any more)", "configuration", is_final=True)
    body = json.dumps({"text": _slack_text(notices)}).encode()
    request = HttpRequest(
        "POST", URL(url), {"Content-Type": "application/json"}, body,
        timeout_seconds=TIMEOUT_SECONDS, max_bytes=2_000,
    )  # fmt: skip
    masker = Masker({"url": url, "path": URL(url).path.strip("/")})
    try:
        answer = asyncio.run(_post(request))
    except NotSent as error:
        raise NotSent(masker.text(str(error)), is_final=error.is_final) from None
    except MaybeSent as error:
        raise MaybeSent(masker.text(str(error))) from None
    _check(answer, request.url.host or "", masker)


async def _post(request: HttpRequest) -> HttpAnswer:
    client = HttpClient()
    try:
        return await client.send(request)
    finally:
        await client.close()


def _check(answer: HttpAnswer, host: str, masker: Masker) -> None:
    """429 and 503 say that nothing was taken; any other 5xx leaves it open."""
    if 200 <= answer.status < 300:
        return
    said = " ".join(masker.text(answer.text()).split())[:120]
    text = f"{host} answered {answer.status}" + (f" ({said})" if said else "")
    if answer.status in (429, 503):
        raise NotSent(text)
    if answer.status >= 500:
        raise MaybeSent(text)
    raise NotSent(text, is_final=True)


def _slack_text(notices: Sequence[Notice]) -> str:
    if not notices:
        return TEST
    lines = [] if len(notices) == 1 else [_escaped(summary(notices))]
    for notice in notices[:LISTED]:
        lines.append(f"<{words.job_link(notice)}|{_escaped(words.headline(notice))}>")
        if len(notices) == 1 and (reason := words.reason(notice)):
            lines.append(_escaped(reason))
    if len(notices) > LISTED:
        more = f"{len(notices) - LISTED:,} more on your notices page"
        lines.append(f"<{words.page_link('jobs:notices')}|{more}>")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Slack's three; and no "|" or line break, which would end a link's words."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(text.replace("|", "/").split())
