"""The database's time as workers know it, and times that others tell."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from jobs import clock
from jobs.steps.http import retry_after

TOLD = datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)  # a second before summer time in Europe


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    clock.forget()
    yield
    clock.forget()


def off(expected: datetime) -> float:
    return abs((clock.now() - expected).total_seconds())


def test_the_time_is_the_database_s_once_it_has_been_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """F11: by ticks from there on, whatever becomes of the process's own clock."""
    assert off(datetime.now(UTC)) < 1
    asked_at = clock.ticks()
    clock.learn(TOLD, asked_at)
    monkeypatch.setattr(clock, "ticks", lambda: asked_at + 3600)
    assert clock.now() == TOLD + timedelta(hours=1)
    assert clock.now().utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("later", "believed"),
    [
        (timedelta(seconds=0.1), timedelta(0)),  # the answer only took long
        (timedelta(seconds=-0.1), timedelta(seconds=-0.1)),  # the first one had
        (timedelta(minutes=10), timedelta(minutes=10)),
        (timedelta(minutes=-10), timedelta(minutes=-10)),
    ],
)
def test_a_database_that_was_set_is_followed_and_a_slow_answer_is_not(
    later: timedelta, believed: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_at = clock.ticks()
    clock.learn(TOLD, asked_at)
    clock.learn(TOLD + later, asked_at)
    monkeypatch.setattr(clock, "ticks", lambda: asked_at)
    assert abs(clock.now() - (TOLD + believed)) < timedelta(milliseconds=1)


def test_a_date_to_wait_for_is_by_the_clock_of_who_asks() -> None:
    """F11: neither this machine's clock nor the database's makes it early."""
    asked = {"Retry-After": format_datetime(TOLD + timedelta(seconds=90), usegmt=True)}
    assert retry_after({**asked, "Date": format_datetime(TOLD, usegmt=True)}) == 90
    clock.learn(TOLD, clock.ticks())
    assert retry_after(asked) == pytest.approx(90, abs=1)
    assert retry_after({**asked, "Date": "soon"}) == pytest.approx(90, abs=1)
