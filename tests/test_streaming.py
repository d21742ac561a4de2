"""Exports leave piece by piece under ASGI too."""

from django.core.handlers.asgi import ASGIRequest

from config.streaming import streamed_csv


async def test_under_asgi_the_first_piece_leaves_before_the_second_is_made():
    made = []

    def pieces():
        for piece in ("a\n", "b\n"):
            made.append(piece)
            yield piece

    request = ASGIRequest({"type": "http", "method": "GET", "path": "/"}, None)
    response = streamed_csv(request, pieces(), file_name="x.csv")
    parts = aiter(response)
    assert await anext(parts) == b"a\n"
    assert made == ["a\n"]
    assert [part async for part in parts] == [b"b\n"]
