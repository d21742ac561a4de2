"""One row of a file as the values of a contact, or the reasons why it is not one."""

import re
from dataclasses import dataclass, field
from typing import Any

from projects.contacts import cells, mapping

MAX_LENGTH = {"external_id": 120, "name": 300, "email": 254, "phone": 60}
MAX_ATTRIBUTE_LENGTH = 10_000
MAX_TAG_LENGTH = 60
MAX_TAGS = 50

EMAIL = re.compile(r"[^@\s,;:<>()\[\]\"\\]+@[^@\s,;:<>()\[\]\"\\.]+(?:\.[^@\s,;:<>()\[\]\"\\.]+)+")
PHONE = re.compile(r"[+()./\d\s\-–#*]*\d[+()./\d\s\-–#*]*(?:(?:ext|x)\.?\s*\d+)?", re.IGNORECASE)


@dataclass(slots=True)
class Problem:
    line: int
    column: str
    reason: str
    value: str = ""


@dataclass(slots=True)
class Row:
    """What a file says of one contact. An empty field says nothing: the contact keeps its own."""

    line: int
    external_id: str = ""
    name: str = ""
    email: str = ""
    phone: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What tells this contact from all others: external id, else e-mail, else phone."""
        if self.external_id:
            return "x:" + self.external_id
        return "e:" + self.email if self.email else "p:" + self.phone


class RowReader:
    """Turns cells into a Row by a checked mapping."""

    def __init__(self, header: list[str], targets: list[str]) -> None:
        self.header = header
        self.width = len(header)
        self.columns = [(n, target) for n, target in enumerate(targets) if target]

    def read(self, line: int, values: list[str]) -> Row | list[Problem]:
        if len(values) > self.width and any(v.strip() for v in values[self.width :]):
            reason = (
                f"The row has {len(values)} cells, the header {self.width}. "
                "A cell with the delimiter inside needs quotation marks."
            )
            return [Problem(line, "", reason)]
        found: dict[str, Any] = {}
        attributes: dict[str, str] = {}
        problems: list[Problem] = []
        for number, target in self.columns:
            if number >= len(values):
                break
            raw = values[number].strip()
            if not raw:
                continue
            text = cells.unescape(raw)
            try:
                if target.startswith(mapping.ATTRIBUTE):
                    attributes[target[len(mapping.ATTRIBUTE) :]] = clean_attribute(text)
                else:
                    found[target] = clean(target, text)
            except ValueError as error:
                name = self.header[number] or f"Column {number + 1}"
                problems.append(Problem(line, name, str(error), excerpt(raw)))
        if problems:
            return problems
        first, last = found.pop("first_name", ""), found.pop("last_name", "")
        if not found.get("name") and (first or last):
            found["name"] = f"{first} {last}".strip()
        row = Row(line, attributes=attributes, **found)
        if not (row.external_id or row.email or row.phone):
            return [Problem(line, "", "The row has no external id, e-mail or phone.")]
        return row


def clean(target: str, text: str) -> Any:
    """The cell as the field keeps it; ValueError with a reason for people."""
    check_characters(text)
    if target == "tags":
        return clean_tags(text)
    limit = MAX_LENGTH.get(target, MAX_LENGTH["name"])
    if len(text) > limit:
        raise ValueError(f"Longer than {limit} characters ({len(text):,}).")
    if target == "email":
        text = text.lower()
        if not EMAIL.fullmatch(text):
            raise ValueError("Not an e-mail address.")
    elif target == "phone" and not PHONE.fullmatch(text):
        raise ValueError("Not a phone number.")
    elif target in {"name", "first_name", "last_name", "external_id"}:
        text = " ".join(text.split())
    return text


def clean_attribute(text: str) -> str:
    check_characters(text)
    if len(text) > MAX_ATTRIBUTE_LENGTH:
        raise ValueError(f"Longer than {MAX_ATTRIBUTE_LENGTH:,} characters ({len(text):,}).")
    return text


def clean_tags(text: str) -> list[str]:
    names = list(dict.fromkeys(filter(None, (n.strip() for n in re.split(r"[,;|]", text)))))
    if len(names) > MAX_TAGS:
        raise ValueError(f"More than {MAX_TAGS} tags.")
    for name in names:
        if len(name) > MAX_TAG_LENGTH:
            raise ValueError(f"A tag is longer than {MAX_TAG_LENGTH} characters.")
    return names


def check_characters(text: str) -> None:
    if "\0" in text:
        raise ValueError("Holds a NUL character.")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("Holds bytes that the chosen encoding does not know.")


def excerpt(text: str) -> str:
    shown = "".join(c if c.isprintable() else "�" for c in text[:120])
    return shown + "…" if len(text) > 120 else shown


def search_text(*, name: str, email: str, phone: str, external_id: str) -> str:
    """What the list searches, in lower case; a phone also by its digits alone."""
    digits = "".join(c for c in phone if c.isdigit())
    parts = [name, email, phone, digits if digits != phone else "", external_id]
    return " ".join(part for part in parts if part).lower()
