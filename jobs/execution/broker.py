"""Whether the broker answers and how many hints lie in it. Nothing depends on either."""

from typing import Any

from django.conf import settings
from django.core.cache import cache

from config.celery import app

CACHED_SECONDS = 5
PATIENCE_SECONDS = 0.5


def broker_state() -> dict[str, Any]:
    """{"is_up": bool, "depth": int | None, "error": text}; asked at most every five seconds."""
    known = cache.get("broker-state")
    if known is None:
        known = _ask()
        cache.set("broker-state", known, CACHED_SECONDS)
    return known  # type: ignore[no-any-return]


def _ask() -> dict[str, Any]:
    options = dict(settings.CELERY_BROKER_TRANSPORT_OPTIONS)
    if "socket_timeout" in options:
        options |= {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    try:
        with app.connection_for_read(
            connect_timeout=PATIENCE_SECONDS, transport_options=options
        ) as connection:
            return {"is_up": True, "depth": _depth(connection), "error": ""}
    except Exception as error:  # noqa: BLE001 - each broker's client raises its own
        return {"is_up": False, "depth": None, "error": type(error).__name__}


def _depth(connection: Any) -> int:
    queue = app.amqp.queues[app.conf.task_default_queue]
    try:
        declared: Any = queue(connection.default_channel).queue_declare(passive=True)
    except connection.channel_errors:
        return (
            0  # Redis keeps no key for an empty queue; RabbitMQ has none before the first message
        )
    return int(declared.message_count)
