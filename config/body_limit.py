"""No request's body is taken beyond the upload limit, whatever its Content-Length says."""

from typing import Any

from django.conf import settings
from django.utils.html import escape

# Form fields and multipart borders beside the file itself.
SLACK_BYTES = 1024 * 1024

PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Too large - Spindle</title>'
    "<h1>The upload is too large</h1><p>{message}</p><p>Go back and choose a smaller file.</p>"
)


class BodyTooLargeError(Exception):
    pass


class BodyLimit:
    """ASGI middleware: counts the bytes that arrive and answers 413 when they are too many."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        limit = settings.SPINDLE_MAX_UPLOAD_MB * 1024 * 1024 + SLACK_BYTES
        received = 0
        has_answered = False

        async def counted() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise BodyTooLargeError
            return message

        async def watched(message: Any) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except BodyTooLargeError:
            if not has_answered:
                await _refuse(send)


async def _refuse(send: Any) -> None:
    message = f"At most {settings.SPINDLE_MAX_UPLOAD_MB} MB are taken (SPINDLE_MAX_UPLOAD_MB)."
    body = PAGE.format(message=escape(message)).encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
