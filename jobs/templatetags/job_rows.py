"""The rows of a list of jobs, and their only markup.

Fifty rows hold some thousand values. As a Django template they cost 9 ms, more than everything
else on the page together; as one format string with escaped values 1 ms (docs/decisions.md).
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from django import template
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString

from jobs.rows import JobRow

register = template.Library()

ROW = (
    '<article class="row" id="job-{id}" data-job="{id}" data-version="{version}"{open}>\n'
    '<div class="item"><div class="title">{tick}{dot}'
    '<a class="row-link" href="{list_url}/{id}{carry}">{title}</a>{ticket}'
    '<span class="muted mono">#{id}</span></div>\n'
    '<div class="sub">{effort}{progress}{length}{note}{why}</div></div>\n'
    '<div class="agent">{agent}</div>\n'
    '<div><span class="status">{dot}{word}</span></div>\n'
    '<time class="muted" datetime="{at}" title="{at_words}">{ago}</time>\n'
    '<div class="right">{action}</div>\n'
    "</article>\n"
)
TICK = (
    '<input class="tick" type="checkbox" name="job" value="{id}" form="bulk-form"'
    ' data-action="{action}" aria-label="Select job #{id}">'
)
AGENT = (
    '<a href="{url}" class="agent-link"><span class="avatar sm" aria-hidden="true">{initials}</span>'
    '<span class="agent-name">{name}</span></a>'
)
WHY = '<span class="why" title="{0}">{0}</span>'
ACT = (
    '<a class="btn sm" role="button" href="{list_url}/{id}/{verb}?next={next}%23job-{id}" data-act>'
    "{word}</a>"
)
RESENDED = '<button class="btn sm" type="button" disabled>Resended</button>'


@register.simple_tag(takes_context=True)
def job_rows(context: dict[str, Any], rows: Iterable[JobRow]) -> SafeString:
    """`rows` as HTML; `carry` of the context is appended to every row's link, and `here` is the
    list's query, to which an act returns (J6).
    """
    list_url = reverse("jobs:list")
    urls = {
        "list_url": list_url, "agents": reverse("jobs:agents"),
        "carry": escape(context.get("carry", "")),
        "next": quote(list_url + context.get("here", "")),
    }  # fmt: skip
    return SafeString("".join([_row(row, urls) for row in rows]))


def _row(row: JobRow, urls: dict[str, str]) -> str:
    return ROW.format(
        id=row.id,
        version=row.version,
        open=" data-open" if row.is_open else "",
        tick=TICK.format(id=row.id, action=row.action) if row.action else "",
        dot=f'<span class="dot {row.status}" aria-hidden="true"></span>',
        list_url=urls["list_url"],
        carry=urls["carry"],
        title=escape(row.title),
        ticket=f'<span class="ticket">{escape(row.ticket)}</span>' if row.ticket else "",
        effort=f'<span class="pill">{row.effort}</span>' if row.effort else "",
        progress=f"<span>{row.progress}</span>" if row.progress else "",
        length=_length(row),
        note=f'<span class="pill warn">{row.note}</span>' if row.note else "",
        why=WHY.format(escape(row.why)) if row.why else "",
        agent=_agent(row, urls["agents"]) if row.agent else "",
        word=row.word,
        at=row.at,
        at_words=row.at_words,
        ago=row.ago,
        action=_action(row, urls),
    )


def _length(row: JobRow) -> str:
    if not row.length:
        return ""
    ticks = f' data-ticks-from="{row.ticks_from}"' if row.ticks_from else ""
    return f"<span{ticks}>{row.length}</span>"


def _agent(row: JobRow, url: str) -> str:
    return AGENT.format(url=url, initials=escape(row.initials), name=escape(row.agent))


def _action(row: JobRow, urls: dict[str, str]) -> str:
    if row.action == "resended":
        return RESENDED
    if not row.action:
        return ""
    return ACT.format(
        list_url=urls["list_url"], id=row.id, verb=row.action, word=row.action.capitalize(),
        next=urls["next"],
    )  # fmt: skip
