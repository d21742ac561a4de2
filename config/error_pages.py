"""What a visitor is told when something goes wrong; above all while the database is away.

Under ASGI Django makes these answers on a thread of their own, whose database connection nobody
closes after the request: it would be kept from the pool for ever, broken after a restart.
"""

import sys
from collections.abc import Callable, Iterator

from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views import defaults

RETRY_SECONDS = 5
AWAY = (
    "database_away", "The database does not answer",
    "Nothing is lost: work goes on as soon as it does.",
)  # fmt: skip
SLOW = (
    "too_slow", "This took too long",
    "The question was given up, so that others need not wait. Narrow the filter and try again.",
)  # fmt: skip
BUSY = (
    "database_busy", "The database is busy", "Nothing was changed. Try again in a moment.",
)  # fmt: skip
FULL = (
    "disk_full", "The disk is full",
    "Nothing can be saved until there is room again; what was saved is safe.",
)  # fmt: skip


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _with_own_connection(lambda: defaults.bad_request(request, exception))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _with_own_connection(lambda: defaults.permission_denied(request, exception))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _with_own_connection(lambda: defaults.page_not_found(request, exception))


def server_error(request: HttpRequest) -> HttpResponse:
    """503 with the reason where it is the database; otherwise 500."""
    error = sys.exc_info()[1]
    for cause in _causes(error):
        if isinstance(cause, OperationalError | InterfaceError):
            return _database_error(request, cause)
    return defaults.server_error(request)


def _with_own_connection(answer: Callable[[], HttpResponse]) -> HttpResponse:
    """A connection that was open before is the request's own, which may need it again."""
    was_open = any(one.connection is not None for one in connections.all(initialized_only=True))
    try:
        return answer()
    finally:
        if not was_open:
            close_old_connections()


def _database_error(request: HttpRequest, error: Exception) -> HttpResponse:
    code, title, detail = _words(error)
    response: HttpResponse
    if request.path.startswith("/api/"):
        response = JsonResponse({"code": code.upper(), "detail": f"{title}. {detail}"}, status=503)
    else:
        page = render_to_string("503.html", {"title": title, "detail": detail})
        response = HttpResponse(page, status=503)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


def _words(error: Exception) -> tuple[str, str, str]:
    # PostgreSQL says a state, SQLite the name of its error; both of them only in the cause.
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", "") or ""
    if state == "57014":
        return SLOW
    if state in ("53100", "SQLITE_FULL"):
        return FULL
    if state.startswith(("40", "55", "SQLITE_BUSY", "SQLITE_LOCKED")):
        return BUSY
    return AWAY


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
