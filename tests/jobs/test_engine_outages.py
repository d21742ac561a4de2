"""What a worker takes for an outage: only then do leases run out through nobody's fault."""

import sqlite3

import psycopg
import pytest
from django.db import InterfaceError, OperationalError

from jobs.execution import stores


@pytest.mark.parametrize(
    ("error", "cause", "is_outage"),
    [
        (OperationalError, psycopg.OperationalError("connection refused"), True),
        (OperationalError, psycopg.errors.AdminShutdown("restart"), True),
        (OperationalError, psycopg.errors.ConnectionFailure("lost"), True),
        (InterfaceError, psycopg.InterfaceError("the connection is closed"), True),
        (OperationalError, psycopg.errors.DeadlockDetected("two jobs"), False),
        (OperationalError, psycopg.errors.QueryCanceled("slow"), False),
        (OperationalError, sqlite3.OperationalError("database is locked"), False),
    ],
)  # fmt: skip
def test_only_a_server_that_was_gone_keeps_leases_from_the_sweep(
    error: type[Exception],
    cause: Exception,
    is_outage: bool,
    monkeypatch: pytest.MonkeyPatch,
    db: None,
) -> None:
    monkeypatch.setattr(stores, "_away", {"at": -stores.CALM_SECONDS, "told_at": 0.0})
    monkeypatch.setattr(stores.connection, "close", lambda: None)
    try:
        raise error("x") from cause
    except error as raised:
        stores.was_away(raised)
    assert stores.is_calm() is not is_outage
