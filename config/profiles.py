"""What the environment's three addresses turn into: database, broker, channel layer, mail.

Unset, each has its embedded default under the data folder; see DATABASE_URL, CELERY_BROKER_URL
and CHANNEL_LAYER_URL in docs/settings.md.
"""

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from config import env
from config.broker import SCHEME

SQLITE_INIT = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
    "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=134217728;"
)
NETWORK = {
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}  # fmt: skip


def make_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"SPINDLE_DATA_DIR should be a folder Spindle may write to; {path}: {error.strerror}."
        ) from None
    return path


def secret_key(data_dir: Path) -> str:
    """SPINDLE_SECRET_KEY, else a key made once and kept in the data folder (mode 0600)."""
    given = env.text("SPINDLE_SECRET_KEY")
    if given:
        return given
    path = make_folder(data_dir) / "secret-key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"SPINDLE_DATA_DIR should be a folder Spindle may write to; {path}: {error.strerror}."
        ) from None
    with os.fdopen(descriptor, "w") as file:
        key = secrets.token_urlsafe(50)
        file.write(key)
    return key


def database(data_dir: Path, *, role: str = "") -> dict[str, Any]:
    """`role` "web" has a pool and a limit on each statement; workers own their connections."""
    url = env.text("DATABASE_URL")
    if not url:
        return sqlite(make_folder(data_dir) / "spindle.sqlite3")
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return sqlite(make_folder(Path(urlsplit(url).path).parent) / Path(urlsplit(url).path).name)
    if scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(
            "DATABASE_URL should be postgresql://user:password@host:5432/name "
            f"(or unset for SQLite), not an address that begins with {scheme!r}."
        )
    wanted = "DATABASE_URL should be postgresql://user:password@host:5432/name"
    try:
        settings: dict[str, Any] = dict(dj_database_url.parse(url))
    except ValueError as error:
        raise ImproperlyConfigured(f"{wanted}: {error}.") from None
    if not settings.get("NAME"):
        raise ImproperlyConfigured(f"{wanted}; the name of the database is missing.")
    settings["CONN_HEALTH_CHECKS"] = True
    settings["CONN_MAX_AGE"] = 0
    options = settings.setdefault("OPTIONS", {})
    options.setdefault("connect_timeout", 10)
    # A server that has gone without a word is noticed within half a minute.
    for name, value in NETWORK.items():
        options.setdefault(name, value)
    pool_size = env.number("SPINDLE_WEB_POOL", 12, lowest=1, highest=200)
    limit = env.number("SPINDLE_STATEMENT_SECONDS", 30, lowest=1)
    if role == "web":
        # Short attempts: after an outage the next visitor's own attempt finds the database, and
        # need not wait for a pause that has grown as long as the outage was.
        options["pool"] = {
            "min_size": 1, "max_size": pool_size, "timeout": 4, "reconnect_timeout": 2,
        }  # fmt: skip
        options["options"] = f"-c statement_timeout={limit}s"
    return settings


def databases(data_dir: Path, *, role: str = "") -> dict[str, Any]:
    """The portal's database and, in the embedded profile, the channel layer's own file."""
    found = {"default": database(data_dir, role=role)}
    if not env.text("CHANNEL_LAYER_URL"):
        found["channels"] = sqlite(make_folder(data_dir) / "channels.sqlite3")
    return found


def sqlite(path: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": SQLITE_INIT,
        },
    }


def key_prefix() -> str:
    """SPINDLE_KEY_PREFIX: keeps portals apart that share a Redis or RabbitMQ."""
    return env.text("SPINDLE_KEY_PREFIX")


def broker(data_dir: Path) -> tuple[str, dict[str, Any]]:
    url = env.text("CELERY_BROKER_URL")
    if not url:
        queue = str(make_folder(data_dir / "queue"))
        return f"{SCHEME}://localhost", {"data_folder_in": queue, "data_folder_out": queue}
    scheme = urlsplit(url).scheme
    if scheme in {"redis", "rediss", "unix", "redis+socket"}:
        return url, {
            "visibility_timeout": 300,
            "unacked_restore_throttle": 1,
            "socket_timeout": 30,
            "socket_keepalive": True,
            "health_check_interval": 25,
            **({"global_keyprefix": key_prefix()} if key_prefix() else {}),
        }
    if scheme in {"amqp", "amqps", "pyamqp"}:
        return url, {"confirm_publish": True}
    raise ImproperlyConfigured(
        "CELERY_BROKER_URL should be redis://host:6379/0 or amqp://user:password@host:5672/ "
        f"(or unset for the embedded queue), not an address that begins with {scheme!r}."
    )


def channel_layer(data_dir: Path) -> dict[str, Any]:
    url = env.text("CHANNEL_LAYER_URL")
    if not url:
        return {
            "BACKEND": "channels_lite.layers.aio.AIOSQLiteChannelLayer",
            "CONFIG": {"database": "channels"},
        }
    scheme = urlsplit(url).scheme
    if scheme in {"redis", "rediss", "unix"}:
        return {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [url], "prefix": key_prefix() + "channels"},
        }
    raise ImproperlyConfigured(
        "CHANNEL_LAYER_URL should be redis://host:6379/1 (or unset for the embedded layer), "
        f"not an address that begins with {scheme!r}."
    )


def email() -> tuple[str, dict[str, Any]]:
    """SPINDLE_SMTP_URL as Django's settings; unset, mail is printed in the log."""
    url = env.text("SPINDLE_SMTP_URL")
    nothing = {
        "host": "", "port": 25, "user": "", "password": "", "starttls": False, "tls": False,
    }  # fmt: skip
    if not url:
        return "django.core.mail.backends.console.EmailBackend", nothing
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps", "smtp+starttls"} or not parts.hostname:
        raise ImproperlyConfigured(
            "SPINDLE_SMTP_URL should be smtp://, smtp+starttls:// or smtps:// "
            "user:password@host:port."
        )
    default_port = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}[parts.scheme]
    return "django.core.mail.backends.smtp.EmailBackend", {
        "host": parts.hostname,
        "port": parts.port or default_port,
        "user": parts.username or "",
        "password": parts.password or "",
        "starttls": parts.scheme == "smtp+starttls",
        "tls": parts.scheme == "smtps",
    }
