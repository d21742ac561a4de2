"""What is said when the database fails a request, to people and to programs."""

import sqlite3
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.test import Client


def failing(cause: Exception) -> Any:
    def view(*_: Any, **__: Any) -> None:
        try:
            raise cause
        except type(cause) as error:
            raise OperationalError("secret host and port") from error

    return view


def full_disk() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorname = "SQLITE_FULL"
    return error


@pytest.mark.parametrize(
    ("cause", "code", "words"),
    [
        (psycopg.OperationalError("refused"), "DATABASE_AWAY", "The database does not answer"),
        (psycopg.errors.QueryCanceled("slow"), "TOO_SLOW", "This took too long"),
        (psycopg.errors.DiskFull("full"), "DISK_FULL", "The disk is full"),
        (psycopg.errors.DeadlockDetected("x"), "DATABASE_BUSY", "The database is busy"),
        (full_disk(), "DISK_FULL", "The disk is full"),
    ],
)  # fmt: skip
def test_a_failing_database_is_503_with_its_reason(
    cause: Exception, code: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F08, D03."""
    view = failing(cause)
    monkeypatch.setattr("allauth.account.views.LoginView.dispatch", view)
    monkeypatch.setattr("jobs.api.jobs.JobListView.initial", view)
    client = Client(raise_request_exception=False)
    page = client.get("/accounts/login/")
    assert (page.status_code, page["Retry-After"]) == (503, "5")
    assert words in page.content.decode()
    assert "secret" not in page.content.decode()
    answer = client.get("/api/jobs")
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert answer.json()["detail"].startswith(words)


def test_other_errors_stay_500(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("allauth.account.views.LoginView.dispatch", broken)
    page = Client(raise_request_exception=False).get("/accounts/login/")
    assert page.status_code == 500
    assert "Something went wrong" in page.content.decode()
