"""Pages of contacts by key, newest first: as quick at the millionth as at the first."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import QueryDict

from projects.models import Contact

PAGE_SIZE = 50
# Counting stops here: "10,000+".
COUNT_LIMIT = 10_000


@dataclass(slots=True)
class ContactPage:
    """`newer` and `older` are query strings of the neighbouring pages, "" where there is none."""

    rows: list[Contact]
    newer: str
    older: str


def page_of(contacts: QuerySet[Contact], query: QueryDict) -> ContactPage:
    after, before = _key(query.get("after")), _key(query.get("before"))
    if before is not None and after is None:
        found = list(contacts.filter(pk__gt=before).order_by("pk")[: PAGE_SIZE + 1])
        has_newer, rows = len(found) > PAGE_SIZE, found[:PAGE_SIZE][::-1]
        has_older = True
    else:
        if after is not None:
            contacts = contacts.filter(pk__lt=after)
        found = list(contacts.order_by("-pk")[: PAGE_SIZE + 1])
        has_older, rows = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
        has_newer = after is not None
    return ContactPage(
        rows,
        _with(query, before=rows[0].pk) if rows and has_newer else "",
        _with(query, after=rows[-1].pk) if rows and has_older else "",
    )


def capped_count(contacts: QuerySet[Contact]) -> tuple[int, bool]:
    """How many there are, and whether there are more than were counted."""
    count = contacts.order_by()[: COUNT_LIMIT + 1].values("pk").count()
    return min(count, COUNT_LIMIT), count > COUNT_LIMIT


def _key(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None


def _with(query: QueryDict, **values: int) -> str:
    changed = query.copy()
    for key in ("after", "before"):
        changed.pop(key, None)
    for key, value in values.items():
        changed[key] = str(value)
    return changed.urlencode()
