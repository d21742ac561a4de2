"""The checked rows of one import, in a file of its own beside the upload.

A million rows are compared with each other (which key came last?) and read again in slices
without holding them in memory, and without a second copy in the portal's database. It is scratch
space: when it is missing or half made, the upload is checked again.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from projects.contacts.rows import Row

# Rows with an external id come first, so that an e-mail that one of them gives up is free when
# a row that has only an e-mail is matched: the order decides, not the order of the file.
Position = tuple[int, int]
START: Position = (-1, 0)

SCHEMA = """
CREATE TABLE rows (
    line INTEGER PRIMARY KEY, rank INTEGER NOT NULL, key TEXT NOT NULL, email TEXT NOT NULL,
    content TEXT NOT NULL
);
"""
# Which row wins: the last of a key; and of one e-mail, the rows that also have an external id.
DUPLICATES = """
SELECT line, winner FROM (
    SELECT line, MAX(line) OVER (PARTITION BY key) AS winner FROM rows
) WHERE line < winner
UNION ALL
SELECT plain.line, MAX(named.line) FROM rows AS plain
JOIN rows AS named ON named.email = plain.email AND named.rank = 0
WHERE plain.rank = 1 AND plain.email != '' GROUP BY plain.line
"""


class Staging:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-32000; "
            "PRAGMA temp_store=FILE;"
        )

    @classmethod
    def make(cls, path: Path) -> "Staging":
        path.unlink(missing_ok=True)
        staging = cls(path)
        staging.connection.executescript(SCHEMA)
        return staging

    def close(self) -> None:
        self.connection.close()

    def add(self, rows: list[Row]) -> None:
        self.connection.execute("BEGIN")
        self.connection.executemany(
            "INSERT INTO rows (line, rank, key, email, content) VALUES (?, ?, ?, ?, ?)",
            [
                (
                    row.line,
                    0 if row.external_id else 1,
                    row.key,
                    row.email,
                    json.dumps(
                        [row.external_id, row.name, row.email, row.phone, row.attributes, row.tags]
                    ),
                )
                for row in rows
            ],
        )
        self.connection.execute("COMMIT")

    def drop_duplicates(self, *, keep: int) -> tuple[int, list[tuple[int, int]]]:
        """How many rows another one replaces; the first `keep` of them as (line, winner)."""
        run = self.connection.execute
        run("CREATE INDEX rows_key ON rows (key, line)")
        run("CREATE INDEX rows_email ON rows (email, rank) WHERE email != ''")
        run(f"CREATE TEMP TABLE losers AS {DUPLICATES}")
        listed = run(
            "SELECT line, MAX(winner) FROM losers GROUP BY line ORDER BY line LIMIT ?", [keep]
        ).fetchall()
        run("DELETE FROM rows WHERE line IN (SELECT line FROM losers)")
        (count,) = run("SELECT COUNT(DISTINCT line) FROM losers").fetchone()
        run("DROP TABLE losers")
        run("CREATE INDEX rows_order ON rows (rank, line)")
        return count, listed

    def remove(self, lines: list[int]) -> None:
        self.connection.executemany("DELETE FROM rows WHERE line = ?", [(n,) for n in lines])

    def count(self) -> int:
        return self.connection.execute("SELECT COUNT(*) FROM rows").fetchone()[0]

    def finish(self) -> None:
        """From now on the staging is whole."""
        self.connection.execute("PRAGMA user_version = 1")

    @property
    def is_whole(self) -> bool:
        return self.connection.execute("PRAGMA user_version").fetchone()[0] == 1

    def slices(self, size: int, after: Position = START) -> Iterator[list[Row]]:
        """The rows in their order, `size` at a time, beginning after a position."""
        while True:
            found = self.connection.execute(
                "SELECT line, content FROM rows WHERE (rank, line) > (?, ?) "
                "ORDER BY rank, line LIMIT ?",
                [*after, size],
            ).fetchall()
            if not found:
                return
            rows = [Row(line, *json.loads(content)) for line, content in found]
            yield rows
            after = position(rows[-1])


def position(row: Row) -> Position:
    return (0 if row.external_id else 1, row.line)
