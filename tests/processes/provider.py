"""The world outside, in a process of its own: logs every key it acts on, then answers.

`python tests/processes/provider.py PORT LOG DELAY_MS`. Appends "time key" lines to LOG; the key is
written before the answer, as a provider that acts and then loses the connection would. It answers
as the path says: /send after the delay, /late after 30 s, /never, /trickle one byte a second.
"""

import asyncio
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
LONG_ANSWER = ANSWER.replace(b"Length: 2", b"Length: 100")


class Provider(asyncio.Protocol):
    def __init__(self, log: object, delay: float):
        self.log, self.delay, self.buffer = log, delay, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            headers = dict(
                line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
            )
            length = int(headers.get(b"content-length", 0))
            if not found or len(rest) < length:
                return
            self.buffer = rest[length:]
            key = headers.get(b"idempotency-key", b"?").decode()
            self.log.write(f"{time.time():.6f} {key}\n")
            self.answer_later(head.split(b" ", 2)[1])

    def answer_later(self, path: bytes) -> None:
        loop = asyncio.get_running_loop()
        if path == b"/trickle":
            self.transport.write(LONG_ANSWER)
            self.trickle()
        elif path != b"/never":
            loop.call_later(30 if path == b"/late" else self.delay, self.answer)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)

    def trickle(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b" ")
            asyncio.get_running_loop().call_later(1, self.trickle)


async def main(port: int, log: object, delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Provider(log, delay), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with open(sys.argv[2], "a", buffering=1) as file:
        asyncio.run(main(int(sys.argv[1]), file, float(sys.argv[3]) / 1000))
