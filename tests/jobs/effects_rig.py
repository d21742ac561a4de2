"""A server for effect steps: answers as its path says, and remembers every request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from jobs.steps import compile_step
from jobs.steps.base import Prepared, StepInput
from jobs.steps.clients import Clients


@dataclass
class Rig:
    port: int = 0
    seen: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    answers: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(
        default_factory=dict
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, status: int = 200, body: Any = None, **headers: str) -> str:
        """From now on `path` answers so; returns its URL."""

        async def respond(request: web.Request) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if isinstance(body, (bytes, str)):
                raw = body.encode() if isinstance(body, str) else body
                return web.Response(status=status, body=raw, headers=named)
            return web.json_response(body, status=status, headers=named)

        self.answers[path] = respond
        return self.url + path

    def reset(self, path: str) -> str:
        """`path` drops the connection after the request has come."""

        async def respond(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        self.answers[path] = respond
        return self.url + path

    def hang(self, path: str) -> str:
        async def respond(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(30)
            return web.Response()

        self.answers[path] = respond
        return self.url + path

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        text = await request.text()
        self.seen.append((request.method, request.path_qs, dict(request.headers), text))
        respond = self.answers.get(request.path)
        return await respond(request) if respond else web.Response(status=404)  # type: ignore[arg-type]


@asynccontextmanager
async def open_rig(host: str = "127.0.0.1") -> AsyncIterator[Rig]:
    rig = Rig()
    runner = web.ServerRunner(web.Server(rig._serve, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    rig.port = runner.addresses[0][1]
    try:
        yield rig
    finally:
        await runner.cleanup()


async def perform(
    kind: str, config: dict[str, Any], *, secrets: dict[str, str] | None = None, **fields: Any
) -> Any:
    """Prepare and perform one step for one record; the result, or Failed from preparing."""
    step: Any = compile_step(
        {"name": "s", "kind": kind, "config": config}, secrets=secrets or {},
        effort=fields.pop("effort", ""),
    )  # fmt: skip
    record = StepInput(
        **{"contact": {"id": 7, "name": "Ann", "email": "ann@example.com"}, "values": {}, "job": {},
           "key": "3-1-2", "record_id": 9} | fields
    )  # fmt: skip
    prepared = step.prepare(record)
    if not isinstance(prepared, Prepared):
        return prepared
    async with Clients() as clients:
        return await step.perform(prepared, clients)
