"""S06: a body is counted as it arrives; what Content-Length says is not believed."""

from typing import Any

from django.core.asgi import get_asgi_application

from config.body_limit import BodyLimit


async def post(chunks: list[bytes]) -> list[Any]:
    sent: list[Any] = []
    left = list(chunks)

    async def receive() -> Any:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/accounts/login/",
        "raw_path": b"/accounts/login/", "query_string": b"", "scheme": "http", "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-length", b"5")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await BodyLimit(get_asgi_application())(scope, receive, send)
    assert len(left) < 3, "it stopped reading"
    return sent


async def test_body_beyond_the_limit_is_refused(settings):
    settings.SPINDLE_MAX_UPLOAD_MB = 1
    megabyte = b"x" * 1024 * 1024
    sent = await post([megabyte] * 5)
    assert sent[0]["status"] == 413
    assert b"At most 1 MB" in sent[1]["body"]
