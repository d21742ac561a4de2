"""Settings from the environment, with an error that names the variable and what it should be."""

import os
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def flag(name: str, *, default: bool) -> bool:
    """`name` as a yes/no; raises ImproperlyConfigured for any other word."""
    raw = os.environ.get(name)
    if raw is None:
        return default
    value = raw.strip().lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} should be 1 or 0 (yes or no), not {raw!r}.")


def number(name: str, default: int, *, lowest: int = 0, highest: int | None = None) -> int:
    raw = os.environ.get(name)
    if raw is None or not raw.strip():
        return default
    limits = f"from {lowest}" + (f" to {highest}" if highest is not None else " up")
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} should be a whole number {limits}, not {raw!r}."
        ) from None
    if value < lowest or (highest is not None and value > highest):
        raise ImproperlyConfigured(f"{name} should be a whole number {limits}, not {raw!r}.")
    return value


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def numbers(name: str, default: str = "") -> frozenset[int]:
    """A comma-separated list of whole numbers."""
    try:
        return frozenset(int(word) for word in words(name, default))
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} should be numbers with commas between them, not {text(name)!r}."
        ) from None


def folder(name: str, default: Path) -> Path:
    raw = text(name)
    return Path(raw).expanduser().resolve() if raw else default


def choice(name: str, default: str, options: set[str]) -> str:
    value = text(name, default).upper() or default
    if value not in options:
        raise ImproperlyConfigured(
            f"{name} should be one of {', '.join(sorted(options))}, not {value!r}."
        )
    return value


def origin(name: str, default: str = "") -> str:
    """An address of scheme and host, without a slash at its end."""
    value = text(name, default).rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
        raise ImproperlyConfigured(
            f"{name} should be an address such as https://spindle.example.com, not {value!r}."
        )
    return value


def origins(name: str) -> list[str]:
    for word in words(name):
        parts = urlsplit(word)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ImproperlyConfigured(
                f"{name} should be addresses such as https://spindle.example.com, "
                f"separated by commas, not {word!r}."
            )
    return [word.rstrip("/") for word in words(name)]


def time_zone(name: str, default: str) -> str:
    value = text(name, default) or default
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ImproperlyConfigured(
            f"{name} should be a time zone such as Europe/Stockholm, not {value!r}."
        ) from None
    return value
