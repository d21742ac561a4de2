"""How to keep journeys: a row for every step, or one JSON document in the record?

    uv run python bench/journey_storage.py            (SQLite, a file under /tmp)
    DATABASE_URL=postgresql://… uv run python bench/journey_storage.py

Writes N records of four steps in batches of 500, each batch durable (one commit), as the engine
does: the record is updated with its status, and its four entries are either rows of their own or a
document in the same row. Then reads: one record's journey, and a failed step's records. Prints
the best rate of five rounds, bytes a record, and the median time of a read.
"""

import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

COUNT, BATCH, STEPS = 20_000, 500, 4
URL = os.environ.get("DATABASE_URL", "")


def entry(record: int, step: int) -> dict[str, Any]:
    return {
        "step": step, "name": f"step-{step}", "kind": "template", "status": "completed",
        "started_at": "2026-11-24T19:16:00.123456+00:00", "ms": 0.125, "attempts": 1,
        "input": {}, "output": {"message": f"Hi Contact {record}, your plan is pro."},
        "error": "", "key": f"17-{record}-{step}", "log": [],
    }  # fmt: skip


class Store:
    mark = "?"
    big = "integer"

    def run(self, statement: str, parameters: Any = ()) -> Any: ...
    def many(self, statement: str, rows: list[Any]) -> None: ...
    def commit(self) -> None: ...
    def size(self) -> int: ...


class Sqlite(Store):
    name = f"SQLite {sqlite3.sqlite_version}, WAL, synchronous=FULL"

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="journey-")) / "bench.sqlite3"
        self.connection = sqlite3.connect(self.path, isolation_level="IMMEDIATE")
        self.connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")

    def run(self, statement: str, parameters: Any = ()) -> Any:
        return self.connection.execute(statement, parameters)

    def many(self, statement: str, rows: list[Any]) -> None:
        self.connection.executemany(statement, rows)

    def commit(self) -> None:
        self.connection.commit()

    def size(self) -> int:
        self.connection.commit()
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
        free = self.connection.execute("PRAGMA freelist_count").fetchone()[0]
        return int((pages - free) * self.connection.execute("PRAGMA page_size").fetchone()[0])


class Postgres(Store):
    mark = "%s"
    big = "bigint"

    def __init__(self) -> None:
        self.connection = psycopg.connect(URL)
        version = self.connection.info.server_version // 10_000
        self.name = f"PostgreSQL {version}, default durability"

    def run(self, statement: str, parameters: Any = ()) -> Any:
        return self.connection.execute(statement, parameters or None)

    def many(self, statement: str, rows: list[Any]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(statement, rows)

    def commit(self) -> None:
        self.connection.commit()

    def size(self) -> int:
        row = self.run(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
            "WHERE relname IN ('bench_record', 'bench_step')"
        ).fetchone()
        return int(row[0])


def prepare(store: Store) -> None:
    json_type = "jsonb" if isinstance(store, Postgres) else "text"
    for table in ("bench_step", "bench_record"):
        store.run(f"DROP TABLE IF EXISTS {table}")
    store.run(
        f"CREATE TABLE bench_record (id {store.big} PRIMARY KEY, job {store.big}, status text, "
        f"journey {json_type})"
    )
    store.run("CREATE INDEX bench_record_status ON bench_record (job, status, id)")
    store.run(
        f"CREATE TABLE bench_step (record {store.big}, step integer, name text, kind text, "
        "status text, started_at text, ms real, attempts integer, "
        f"input {json_type}, output {json_type}, error text, key text, log {json_type}, "
        "PRIMARY KEY (record, step))"
    )
    store.many(
        f"INSERT INTO bench_record (id, job, status) VALUES ({store.mark}, 17, 'pending')",
        [(n,) for n in range(1, COUNT + 1)],
    )
    store.commit()


def write_rows(store: Store, ids: range) -> None:
    marks = ", ".join([store.mark] * 13)
    store.many(
        f"INSERT INTO bench_step VALUES ({marks})",
        [
            (n, e["step"], e["name"], e["kind"], e["status"], e["started_at"], e["ms"],
             e["attempts"], json.dumps(e["input"]), json.dumps(e["output"]), e["error"], e["key"],
             json.dumps(e["log"]))
            for n in ids for e in (entry(n, step) for step in range(1, STEPS + 1))
        ],
    )  # fmt: skip
    store.many(
        f"UPDATE bench_record SET status = 'completed' WHERE id = {store.mark}",
        [(n,) for n in ids],
    )
    store.commit()


def write_documents(store: Store, ids: range) -> None:
    rows = [[entry(n, step) for step in range(1, STEPS + 1)] for n in ids]
    if isinstance(store, Postgres):
        text = json.dumps([{"id": n, "j": j} for n, j in zip(ids, rows, strict=True)])
        store.run(
            "UPDATE bench_record r SET status = 'completed', journey = v.j "
            "FROM json_to_recordset(%s::json) AS v(id bigint, j jsonb) WHERE r.id = v.id",
            (text,),
        )
    else:
        store.many(
            "UPDATE bench_record SET status = 'completed', journey = ? WHERE id = ?",
            [(json.dumps(j), n) for n, j in zip(ids, rows, strict=True)],
        )
    store.commit()


def read_ms(store: Store, statement: str) -> float:
    times = []
    for n in range(1, 400):
        began = time.perf_counter()
        store.run(statement, (n * 37 % COUNT + 1,)).fetchall()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def main() -> None:
    store: Store = Postgres() if URL else Sqlite()
    print(f"{store.name}: {COUNT:,} records × {STEPS} steps, {BATCH} records a commit")
    ways = {"a row a step": write_rows, "one document": write_documents}
    for name, write in ways.items():
        rates = []
        for _ in range(5):
            prepare(store)
            empty = store.size()
            began = time.perf_counter()
            for start in range(1, COUNT + 1, BATCH):
                write(store, range(start, start + BATCH))
            rates.append(COUNT / (time.perf_counter() - began))
        if write is write_rows:
            one = f"SELECT * FROM bench_step WHERE record = {store.mark} ORDER BY step"
        else:
            one = f"SELECT journey FROM bench_record WHERE id = {store.mark}"
        print(
            f"  {name:<14}{max(rates):>8,.0f} records/s"
            f"{(store.size() - empty) / COUNT:>8,.0f} bytes a record"
            f"{read_ms(store, one):>9.3f} ms to read a journey",
            flush=True,
        )
    for table in ("bench_step", "bench_record"):
        store.run(f"DROP TABLE {table}")
    store.commit()


if __name__ == "__main__":
    sys.exit(main())
