"""Contacts as a CSV file that the import reads back without changing anything."""

import csv
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet, prefetch_related_objects

from projects.contacts import mapping
from projects.contacts.cells import as_text, escape
from projects.models import Contact

CHUNK = 2000
COLUMNS = ["external_id", "name", "email", "phone", "tags"]
BOM = "\ufeff"  # so that spreadsheets take it for UTF-8


class _Line:
    """A file for csv.writer that hands each line on instead of keeping it."""

    def write(self, text: str) -> str:
        return text


def lines(contacts: QuerySet[Contact]) -> Iterator[str]:
    """The file, piece by piece, in the order the contacts were made; memory stays flat."""
    keys = attribute_keys(contacts)
    writer = csv.writer(_Line())
    yield BOM + writer.writerow([*COLUMNS, *(escape(header_of(key)) for key in keys)])
    for chunk in chunks(contacts):
        prefetch_related_objects(chunk, "tags")
        yield "".join(writer.writerow(cells_of(contact, keys)) for contact in chunk)


def cells_of(contact: Contact, keys: list[str]) -> list[str]:
    tags = ", ".join(sorted(tag.name for tag in contact.tags.all()))
    fixed = [contact.external_id, contact.name, contact.email, contact.phone, tags]
    return [
        escape(text) for text in (*fixed, *(as_text(contact.attributes.get(key)) for key in keys))
    ]


def header_of(key: str) -> str:
    """The attribute's name, marked when the import would take it for something else."""
    plain = mapping.guess_target(key) == mapping.ATTRIBUTE + key
    return key if plain else mapping.ATTRIBUTE + key


def attribute_keys(contacts: QuerySet[Contact]) -> list[str]:
    """Every attribute that one of the contacts has."""
    keys: set[str] = set()
    for attributes in (
        contacts.order_by().values_list("attributes", flat=True).iterator(chunk_size=CHUNK)
    ):
        keys.update(attributes)
    return sorted(keys)


def chunks(contacts: QuerySet[Contact]) -> Iterator[list[Contact]]:
    """By key, so that no cursor or transaction stays open while a slow reader takes its time."""
    last = 0
    narrow: Any = contacts.order_by("pk")
    while found := list(narrow.filter(pk__gt=last)[:CHUNK]):
        yield found
        last = found[-1].pk
