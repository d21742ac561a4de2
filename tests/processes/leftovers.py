"""Names that say whose they are, so that what a killed test session left can be removed.

A name holds this machine's mark and the session's process id; only what belongs to no living
process of this machine is dropped.
"""

import hashlib
import os
import re
import shutil
import socket
import tempfile
import uuid
from pathlib import Path

import psycopg
from psycopg import sql

PROC = Path("/proc")


def _here() -> str:
    namespace = os.readlink("/proc/self/ns/pid") if Path("/proc/self/ns/pid").exists() else ""
    return hashlib.sha256(f"{socket.gethostname()} {namespace}".encode()).hexdigest()[:6]


def fresh_name(kind: str) -> str:
    return f"spindle_{kind}_{_here()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"


def prefix(kind: str) -> str:
    """For mkdtemp."""
    return f"spindle_{kind}_{_here()}_{os.getpid()}_"


def is_left(name: str) -> bool:
    found = re.match(rf"spindle_(?:portal|template|up)_{_here()}_(\d+)_", name)
    return bool(found) and PROC.exists() and not (PROC / found[1]).exists()


def folders() -> None:
    for path in Path(tempfile.gettempdir()).glob("spindle_*"):
        if is_left(path.name):
            shutil.rmtree(path, ignore_errors=True)


def databases(server_url: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        rows = connection.execute("SELECT datname FROM pg_database").fetchall()
        for name in (row[0] for row in rows if is_left(row[0])):
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(name)))
