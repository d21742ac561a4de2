"""Clients that ask a server for one page as fast as it answers."""

import http.client
import socket
import statistics
import threading
import time


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the server did not come up")


def hammer(port: int, address: str, cookie: str, seconds: float) -> dict[str, float]:
    """Eight clients ask for one address, each over a connection of its own."""
    taken: list[float] = []

    def one() -> None:
        link = http.client.HTTPConnection("127.0.0.1", port)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            began = time.perf_counter()
            link.request("GET", address, headers={"Cookie": cookie})
            response = link.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"{address} answers {response.status}")
            taken.append((time.perf_counter() - began) * 1000)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "pages_per_second": round(len(taken) / seconds, 1),
        "p50_ms": round(statistics.median(taken), 1),
        "p95_ms": round(statistics.quantiles(taken, n=20)[18], 1),
    }
