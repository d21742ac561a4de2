"""Every CSV file that Spindle writes: for spreadsheets, piece by piece, no cell a formula."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from projects.contacts.cells import escape

BOM = "\ufeff"  # so that spreadsheets take it for UTF-8


class _Line:
    """A file for csv.writer that hands each line on instead of keeping it."""

    def write(self, text: str) -> str:
        return text


def csv_lines(header: Sequence[str], chunks: Iterable[Iterable[Sequence[Any]]]) -> Iterator[str]:
    """The file: the header first, then each chunk of rows as one piece.

    Texts are escaped; numbers are written as they are and None as an empty cell.
    """
    writer = csv.writer(_Line())
    yield BOM + writer.writerow(_cells(header))
    for rows in chunks:
        yield "".join([writer.writerow(_cells(row)) for row in rows])


def _cells(row: Sequence[Any]) -> list[Any]:
    return [escape(cell) if isinstance(cell, str) else cell for cell in row]
