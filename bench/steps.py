"""What steps cost: microseconds of processor time a record, and HTTP calls a second on one core.

    uv run python bench/steps.py [calls]

The server is a process of its own that answers at once without parsing, so that the client's cost
is what shows.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

PURE: dict[str, tuple[str, dict[str, Any]]] = {
    "template, plain": (
        "template",
        {
            "field": "m",
            "template": "Hi {{ contact.first_name }}, your plan {{ contact.plan }} ends",
        },
    ),
    "template, one filter": (
        "template",
        {"field": "m", "template": "Hi {{ contact.first_name | upcase }}"},
    ),
    "set, two fields": (
        "set",
        {
            "fields": [
                {"name": "a", "template": "{{ contact.plan }}"},
                {"name": "b", "template": "3", "type": "number"},
            ]
        },
    ),
    "condition, one row": (
        "condition",
        {"rows": [{"field": "contact.plan", "value": "pro"}], "on_false": "continue"},
    ),
    "condition, expression": (
        "condition",
        {"by": "expression", "expression": "contact.plan == 'pro'", "on_false": "continue"},
    ),
    "outcome": ("outcome", {"outcome": "done", "metadata": [{"name": "p", "value": "x"}]}),
}


class _Answer(asyncio.Protocol):
    body = b'{"data":{"id":7}}'
    text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n" + body

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.read = b""

    def data_received(self, data: bytes) -> None:
        self.read += data
        if b"\r\n\r\n" in self.read:  # small requests arrive in one piece
            self.read = b""
            self.transport.write(self.text)


def _serve(port: Any) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Answer, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _record(number: int) -> Any:
    from jobs.steps.base import StepInput

    contact = {"id": number, "name": f"Ann {number}", "first_name": "Ann", "plan": "pro"}
    return StepInput(contact, {"message": "Hello there"}, {"id": 1}, f"1-{number}-3", number)


def _pure(count: int = 20_000) -> None:
    from jobs.steps import compile_step

    record = _record(1)
    for label, (kind, config) in PURE.items():
        step: Any = compile_step({"name": "s", "kind": kind, "config": config}, secrets={})
        began = time.process_time()
        for _ in range(count):
            step.run(record)
        print(f"{label:24} {(time.process_time() - began) / count * 1e6:8.2f} µs a record")


async def _calls(step: Any, prepared: list[Any]) -> None:
    from jobs.steps.base import Continue
    from jobs.steps.clients import Clients

    async with Clients() as clients:
        waiting = iter(prepared)

        async def work() -> None:
            for one in waiting:
                result = await step.perform(one, clients)
                assert isinstance(result, Continue), result

        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(50)))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    count = len(prepared)
    print(f"{'http, perform':24} {cpu / count * 1e6:8.2f} µs a call")
    print(f"{'':24} {count / wall:8.0f} calls/s observed, {count / cpu:.0f} a second of one core")


def main() -> None:
    import django
    from django.conf import settings

    django.setup()
    from jobs.steps import compile_step

    _pure()
    port_queue: Any = multiprocessing.Queue()
    server = multiprocessing.Process(target=_serve, args=(port_queue,), daemon=True)
    server.start()
    try:
        port = port_queue.get(timeout=20)
        settings.INTERNAL_HOSTS = [f"127.0.0.1:{port}"]
        config = {
            "url": f"http://127.0.0.1:{port}/c/{{{{ contact.id }}}}",
            "headers": [{"name": "Authorization", "value": "Bearer {{ secrets.KEY }}"}],
            "body_type": "json",
            "body": '{"name": "{{ contact.name }}", "text": "{{ values.message }}"}',
            "mapping": [{"path": "data.id", "field": "id"}],
        }
        definition = {"name": "s", "kind": "http", "config": config}
        step: Any = compile_step(definition, secrets={"KEY": "secret-123"})
        records = [_record(n) for n in range(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)]
        began = time.process_time()
        prepared = [step.prepare(record) for record in records]
        cost = (time.process_time() - began) / len(records) * 1e6
        print(f"{'http, prepare':24} {cost:8.2f} µs a record")
        asyncio.run(_calls(step, prepared))
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
