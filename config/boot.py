"""What must hold before a process starts: a reachable database, no unsafe public portal."""

import ipaddress
import os

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

BIND = "SPINDLE_BIND"  # where `manage.py web` listens; unset when another server was started
SHORTEST_KEY = 40
FEWEST_CHARACTERS = 10


def check_database() -> None:
    """Raises ImproperlyConfigured, naming DATABASE_URL, if no query can be made."""
    connection = connections["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if os.environ.get("DATABASE_URL"):
            raise ImproperlyConfigured(
                "DATABASE_URL should be the address of a PostgreSQL database that answers: "
                f"{reason}"
            ) from None
        raise ImproperlyConfigured(
            f"SPINDLE_DATA_DIR should be a folder with a sound database in it; "
            f"{settings.DATABASES['default']['NAME']}: {reason}"
        ) from None
    finally:
        connection.close()


def check_exposure(host: str | None) -> None:
    """Raises ImproperlyConfigured if a portal others can reach has settings only fit for one's
    own machine. `host`: the address it listens on; None if that is not known."""
    if host is not None and is_loopback(host):
        return
    for is_wrong, sentence in (
        (settings.DEBUG, "SPINDLE_DEBUG should be 0"),
        (
            _is_weak(settings.SECRET_KEY),
            f"SPINDLE_SECRET_KEY should be at least {SHORTEST_KEY} characters by chance (or unset)",
        ),
        (
            "*" in settings.ALLOWED_HOSTS,
            "SPINDLE_ALLOWED_HOSTS should name the hosts people use, not *",
        ),
        (
            not os.environ.get("SPINDLE_ALLOWED_HOSTS"),
            "SPINDLE_ALLOWED_HOSTS should name the hosts people use, as spindle.example.com",
        ),
    ):
        if is_wrong:
            raise ImproperlyConfigured(
                f"{sentence}, since this portal is open to other machines. "
                "Listening on 127.0.0.1 needs none of that."
            )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_weak(key: str) -> bool:
    return (
        len(key) < SHORTEST_KEY
        or len(set(key)) < FEWEST_CHARACTERS
        or key.startswith("django-insecure")
    )
