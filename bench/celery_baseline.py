"""What the engine is measured against: Celery, tuned, with one task a contact and a row a step.

Threads instead of processes, a pooled psycopg connection, a keep-alive HTTP client a thread,
prefetch, no results. Each of the four steps is durable before the next begins.
"""

import http.client
import json
import os
import threading
from urllib.parse import urlsplit

from celery import Celery
from liquid import Environment
from psycopg.types.json import Json
from psycopg_pool import ConnectionPool

app = Celery("baseline", broker=os.environ["BASELINE_BROKER"])
app.conf.update(
    task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=4,
    task_serializer="json", accept_content=["json"], worker_hijack_root_logger=False,
    task_default_queue="baseline",
)  # fmt: skip

SCHEMA = """
DROP TABLE IF EXISTS baseline_step; DROP TABLE IF EXISTS baseline_record;
CREATE TABLE baseline_record (id bigint PRIMARY KEY, run int, status text, name text, email text);
CREATE TABLE baseline_step (
    id bigserial PRIMARY KEY, record_id bigint REFERENCES baseline_record, step int, status text,
    output jsonb, ended_at timestamptz DEFAULT now());
CREATE INDEX ON baseline_step (record_id); CREATE INDEX ON baseline_record (run, status);
"""

TEMPLATE = Environment().from_string("Hi {{ contact.name }}, your plan is {{ contact.plan }}.")
_lock = threading.Lock()
_pool: ConnectionPool | None = None
_local = threading.local()


def pool() -> ConnectionPool:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ConnectionPool(os.environ["BASELINE_DATABASE"], min_size=10, max_size=50)
            _pool.wait()
        return _pool


def note(record: int, step: int, output: dict) -> None:
    with pool().connection() as connection:  # one transaction: commits at the end
        connection.execute(
            "INSERT INTO baseline_step (record_id, step, status, output) VALUES (%s, %s, %s, %s)",
            (record, step, "completed", Json(output)),
        )
        status = "completed" if step == 4 else "running"
        connection.execute("UPDATE baseline_record SET status=%s WHERE id=%s", (status, record))


def post(url: str, body: dict) -> int:
    """One keep-alive connection a thread."""
    parts = urlsplit(url)
    if not hasattr(_local, "http"):
        _local.http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    _local.http.request("POST", parts.path, json.dumps(body), headers)
    answer = _local.http.getresponse()
    answer.read()
    return answer.status


@app.task(name="baseline.contact")
def contact(record: int, url: str) -> None:
    with pool().connection() as connection:
        name, email = connection.execute(
            "SELECT name, email FROM baseline_record WHERE id=%s", (record,)
        ).fetchone()
    message = TEMPLATE.render(contact={"name": name, "plan": "pro"})
    note(record, 1, {"message": message})
    if url:
        note(record, 2, {"status": post(url, {"to": email, "text": message})})
    else:
        note(record, 2, {"subject": message.upper()})
    note(record, 3, {"length": len(message)})
    note(record, 4, {"outcome": "sent"})
