"""Long answers, sent as they are made."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


def streamed_csv(
    request: HttpRequest, pieces: Iterator[str], *, file_name: str
) -> StreamingHttpResponse:
    """A CSV file of any length in flat memory.

    Under ASGI Django collects a synchronous iterator whole before it sends the first byte, so
    there the pieces are pulled one by one from a thread.
    """
    content = _from_thread(pieces) if isinstance(request, ASGIRequest) else pieces
    response = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


async def _from_thread(pieces: Iterator[str]) -> AsyncIterator[str]:
    pull: Callable[..., Awaitable[str | None]] = sync_to_async(next)
    while (piece := await pull(pieces, None)) is not None:
        yield piece
