"""Nonsense in a setting stops the start, naming the variable and what it should be."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import boot, env, profiles

ROOT = Path(__file__).resolve().parent.parent.parent
READS = re.compile(
    r"""(?:env\.\w+|os\.environ(?:\.get|\.setdefault)?)[(\[]\s*["']([A-Z][A-Z_]+)["']"""
)
CONSTANTS = re.compile(r"""^\w+ = "((?:SPINDLE|DATABASE|CELERY|CHANNEL)_[A-Z_]+)\"""", re.MULTILINE)
FAMILIES = {"SPINDLE", "DATABASE", "CELERY", "CHANNEL"}


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("DATABASE_URL", "mysql://x/y", lambda: profiles.database(Path("/nowhere"))),
        ("DATABASE_URL", "postgresql://u@h:port/name", lambda: profiles.database(Path("/nowhere"))),
        ("DATABASE_URL", "postgresql://u@h:5432", lambda: profiles.database(Path("/nowhere"))),
        ("CELERY_BROKER_URL", "http://h", lambda: profiles.broker(Path("/nowhere"))),
        ("CHANNEL_LAYER_URL", "amqp://h", lambda: profiles.channel_layer(Path("/nowhere"))),
        ("SPINDLE_SMTP_URL", "mail.example.com", profiles.email),
        ("SPINDLE_DEBUG", "perhaps", lambda: env.flag("SPINDLE_DEBUG", default=False)),
        ("SPINDLE_SWEEP_SECONDS", "0", lambda: env.number("SPINDLE_SWEEP_SECONDS", 3, lowest=1)),
        ("SPINDLE_SWEEP_SECONDS", "soon", lambda: env.number("SPINDLE_SWEEP_SECONDS", 3)),
        ("SPINDLE_TIME_ZONE", "Mars/North", lambda: env.time_zone("SPINDLE_TIME_ZONE", "UTC")),
        ("SPINDLE_BASE_URL", "spindle.example", lambda: env.origin("SPINDLE_BASE_URL")),
        ("SPINDLE_TRUSTED_ORIGINS", "a.example", lambda: env.origins("SPINDLE_TRUSTED_ORIGINS")),
        ("SPINDLE_LOG_LEVEL", "LOUD", lambda: env.choice("SPINDLE_LOG_LEVEL", "INFO", {"INFO"})),
        ("SPINDLE_DATA_DIR", "/proc/x", lambda: profiles.make_folder(Path("/proc/x"))),
    ],
)
def test_nonsense_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, read: Callable[[], Any]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ImproperlyConfigured, match=f"^{variable} should be "):
        read()


def test_an_unreachable_database_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "worker"],
        env={
            **os.environ,
            "SPINDLE_DATA_DIR": str(tmp_path),
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Spindle cannot start. DATABASE_URL should be ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"DEBUG": True}, "SPINDLE_DEBUG"),
        ({"SECRET_KEY": "short"}, "SPINDLE_SECRET_KEY"),
        ({"SECRET_KEY": "ab" * 40}, "SPINDLE_SECRET_KEY"),
        ({"ALLOWED_HOSTS": ["*"]}, "SPINDLE_ALLOWED_HOSTS"),
        ({}, None),
    ],
)
def test_a_portal_open_to_others_needs_safe_settings(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], complaint: str | None
) -> None:
    """S19"""
    safe = {
        "DEBUG": False, "SECRET_KEY": "".join(map(chr, range(48, 120))),
        "ALLOWED_HOSTS": ["a.example"],
    }  # fmt: skip
    monkeypatch.setenv("SPINDLE_ALLOWED_HOSTS", "a.example")
    monkeypatch.setattr(boot, "settings", SimpleNamespace(**{**safe, **changes}))
    for loopback in ("127.0.0.1", "localhost", "::1"):
        boot.check_exposure(loopback)
    if complaint is None:
        boot.check_exposure("0.0.0.0")
        return
    for host in ("0.0.0.0", "10.0.0.4", None):
        with pytest.raises(ImproperlyConfigured, match=complaint):
            boot.check_exposure(host)


def test_web_has_a_pool_and_a_limit_and_workers_have_neither(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@h:5432/name")
    web = profiles.database(Path("/nowhere"), role="web")["OPTIONS"]
    worker = profiles.database(Path("/nowhere"), role="worker")["OPTIONS"]
    assert web["pool"]["max_size"] == 12
    assert "statement_timeout=30s" in web["options"]
    assert "pool" not in worker
    assert "options" not in worker


def test_every_variable_is_documented_and_none_besides() -> None:
    read = {
        name
        for folder in ("config", "accounts", "projects", "jobs", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__)
        for pattern in (READS, CONSTANTS)
        for name in pattern.findall(path.read_text())
    }
    documented = set(
        re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    )
    assert {name for name in read if name.split("_")[0] in FAMILIES} == documented
