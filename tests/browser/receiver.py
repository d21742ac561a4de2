"""The other side of `http` steps: a server of the test's own whose answers it sets by contact."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

DROPPED = 0  # the request is read, and no answer comes


class Receiver:
    """`answers["c-2"] = (422, "number not reachable")`; who is not named gets 200."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.answer(self)

            def log_message(self, *parts: Any) -> None:
                """Nothing is written to the test's output."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        request.rfile.read(int(request.headers.get("Content-Length") or 0))
        contact = request.path.rpartition("/")[2]
        self.seen.append((contact, dict(request.headers.items())))
        status, message = self.answers.get(contact, (200, "taken"))
        if status == DROPPED:
            request.close_connection = True
            return
        body = json.dumps({"message": message}).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def count(self, contact: str) -> int:
        return sum(who == contact for who, _ in self.seen)

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
