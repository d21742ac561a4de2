"""A small message provider on the demo's own machine, as unpleasant as real ones.

`POST /messages` takes `{"to": …, "text": …}` and an `Idempotency-Key`. It answers after some
latency with 201 and an id; 422 for a recipient it cannot reach; and, for about one key in
sixteen, first of all with 503 and `Retry-After`. The same key gets the same answer.
"""

import asyncio
import hashlib
import re

from aiohttp import web

RETRY_AFTER_SECONDS = 1
REACHABLE = re.compile(r"^(\+[0-9]{8,15}|[^@\s]+@[^@\s]+\.[A-Za-z]{2,})$")
MOST_KEPT = 200_000

answers: web.AppKey[dict[str, dict[str, str]]] = web.AppKey("answers", dict)
delayed: web.AppKey[set[str]] = web.AppKey("delayed", set)


def host(port: int) -> str:
    return f"127.0.0.1:{port}"


def application() -> web.Application:
    app = web.Application(client_max_size=256 * 1024)
    app[answers], app[delayed] = {}, set()
    app.add_routes([web.post("/messages", take_message), web.get("/health", say_healthy)])
    return app


async def say_healthy(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "messages": len(request.app[answers])})


async def take_message(request: web.Request) -> web.Response:
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        return refusal("missing_key", "Send an Idempotency-Key header.")
    dice = hashlib.sha256(key.encode()).digest()
    await asyncio.sleep(0.03 + dice[1] / 255 * 0.25)
    known = request.app[answers].get(key)
    if known:
        return web.json_response(known, status=201, headers={"Idempotency-Replayed": "true"})
    if dice[0] % 16 == 0 and key not in request.app[delayed]:
        request.app[delayed].add(key)
        return web.json_response(
            {"error": "busy", "message": "Too much at once; try again shortly."},
            status=503,
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    try:
        message = await request.json()
        recipient, text = str(message["to"]), str(message["text"])
    except (ValueError, KeyError, TypeError):
        return refusal("bad_message", "The body should be JSON with `to` and `text`.")
    if not REACHABLE.match(recipient.replace(" ", "")):
        return refusal("unreachable_recipient", f"{recipient[:60]!r} cannot be reached.")
    if not text.strip():
        return refusal("empty_text", "There is nothing to send.")
    kept = request.app[answers]
    if len(kept) >= MOST_KEPT:
        kept.pop(next(iter(kept)))
    kept[key] = {"id": f"msg_{dice.hex()[:16]}", "status": "accepted"}
    return web.json_response(kept[key], status=201)


def refusal(error: str, message: str) -> web.Response:
    return web.json_response({"error": error, "message": message}, status=422)
