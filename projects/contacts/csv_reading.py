"""A file of rows, whatever program wrote it: encoding, delimiter, limits. Nothing about contacts.

Memory stays flat whatever the file holds: it is read by lines of a limited length, and the
limits below are checked while reading, not before.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from django.conf import settings

from projects.contacts.cells import unescape

ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-16": "UTF-16 with a byte order mark",
    "utf-16-le": "UTF-16, little endian",
    "utf-16-be": "UTF-16, big endian",
    "cp1252": "Windows-1252 (Western European)",
}
DELIMITERS = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Pipe"}
MAX_COLUMNS = 200
# Longest line of the file; also stops a quotation mark left open from reading everything.
MAX_LINE_LENGTH = 1_000_000
# Python's own limit of one cell (csv.field_size_limit); narrower limits stand in rows.py.
MAX_CELL_LENGTH = 131_072
SAMPLE_BYTES = 64 * 1024
CHUNK = 1024 * 1024


class UnreadableError(Exception):
    """The file as a whole cannot be read; the message says what to do."""


@dataclass(slots=True, frozen=True)
class Dialect:
    encoding: str
    delimiter: str

    @property
    def encoding_label(self) -> str:
        return ENCODINGS.get(self.encoding, self.encoding)


def detect_encoding(file: BinaryIO) -> str:
    file.seek(0)
    head = file.read(SAMPLE_BYTES)
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    # Latin text in UTF-16 has a NUL in every other byte.
    if len(head) >= 4 and max(even, odd) > len(head) * 0.3:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8" if _is_utf8(file) else "cp1252"


def _is_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    file.seek(0)
    try:
        while chunk := file.read(CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def detect_delimiter(file: BinaryIO, encoding: str) -> str:
    """The delimiter that splits the first rows most evenly; a comma when none splits them."""
    file.seek(0)
    sample = file.read(SAMPLE_BYTES).decode(encoding, errors="replace").replace("\0", "")
    best, best_score = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        try:
            rows = [
                row
                for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
                if row
            ][:60]
        except csv.Error:
            continue
        # The sample may have cut the last row.
        widths = [len(row) for row in (rows[:-1] if len(rows) > 2 else rows)]
        if not widths or widths[0] < 2:
            continue
        score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


class Table:
    """The rows of a file: `header`, then an iterator of (line number, cells).

    A line number is that of the row's first line in the file, from 1. Blank rows are left out.
    Bytes that the encoding does not know come through as lone surrogates (see rows.py), so that
    they are an error of their row. Raises UnreadableError, whose message is for people.
    """

    def __init__(self, file: BinaryIO, dialect: Dialect) -> None:
        self.file = file
        self.dialect = dialect
        file.seek(0)
        errors = "strict" if dialect.encoding.startswith("utf-16") else "surrogateescape"
        try:
            self._text = io.TextIOWrapper(
                file, encoding=dialect.encoding, errors=errors, newline=""
            )
        except LookupError:
            raise UnreadableError(
                f"{dialect.encoding} is not an encoding Spindle knows. "
                f"Use one of {', '.join(ENCODINGS)}."
            ) from None
        self._longest_line = 0
        self._reader = csv.reader(self._lines(), delimiter=dialect.delimiter)
        self._line = 1
        self._seen = 0
        self._rows = self._read()
        first = next(self._rows, None)
        if first is None:
            raise UnreadableError(
                "The file is empty. It should have a row of column names, then a row per contact."
            )
        self.header = [unescape(name.strip()) for name in first[1]]
        if len(self.header) > MAX_COLUMNS:
            raise UnreadableError(
                f"The file has {len(self.header):,} columns; at most {MAX_COLUMNS} are read. "
                "Check the delimiter, or leave out columns."
            )

    def close(self) -> None:
        """Let go of the file without closing it."""
        self._text.detach()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        limit = settings.SPINDLE_MAX_IMPORT_ROWS
        for line, cells in self._rows:
            self._seen += 1
            if self._seen > limit:
                raise UnreadableError(
                    f"The file has more than {limit:,} rows. Split it, "
                    "or raise SPINDLE_MAX_IMPORT_ROWS."
                )
            yield line, cells

    def _lines(self) -> Iterator[str]:
        number = 0
        while True:
            number += 1
            try:
                line = self._text.readline(MAX_LINE_LENGTH)
            except UnicodeError as error:
                raise UnreadableError(
                    f"Line {number} is not {self.dialect.encoding_label} ({error.reason}). "  # type: ignore[attr-defined]
                    "Choose another encoding."
                ) from None
            if not line:
                return
            if len(line) >= MAX_LINE_LENGTH and line[-1] not in "\r\n":
                raise UnreadableError(
                    f"Line {number} is longer than {MAX_LINE_LENGTH:,} characters. "
                    "Is this a CSV file?"
                )
            yield line

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            start = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UnreadableError(_explain(error, start)) from None
            if any(cell and not cell.isspace() for cell in cells):
                yield start, cells


def _explain(error: csv.Error, line: int) -> str:
    if "field larger" in str(error):
        return (
            f"A cell that begins in line {line} is longer than {MAX_CELL_LENGTH:,} characters. "
            "A quotation mark was probably left open there."
        )
    return f"Line {line} cannot be read: {error}."
