"""The embedded queue: nothing torn, nothing doubled, bad files set aside."""

import subprocess
import sys
import time
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection

from config import broker
from tests.processes.portal import wait_until

MESSAGES = 1500
PRODUCE = """
import sys
from kombu import Connection
from config import broker
broker.register()
folder, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Connection("spool://localhost", transport_options={"data_folder_in": folder, "data_folder_out": folder}) as c:
    queue = c.SimpleQueue("work")
    for number in range(count):
        queue.put({"from": name, "number": number, "padding": "x" * 3000})
"""
CONSUME = """
import sys
from queue import Empty
from kombu import Connection
from config import broker
broker.register()
folder, idle = sys.argv[1], 0
with Connection("spool://localhost", transport_options={"data_folder_in": folder, "data_folder_out": folder}) as c:
    queue = c.SimpleQueue("work")
    while True:
        try:
            message = queue.get(timeout=3)
        except Empty:
            break
        message.ack()
        print(message.payload["from"], message.payload["number"])
"""


def connect(folder: Path) -> Connection:
    broker.register()
    options = {"data_folder_in": str(folder), "data_folder_out": str(folder)}
    return Connection("spool://localhost", transport_options=options)


@pytest.mark.processes
def test_two_producers_and_two_consumers_lose_and_double_nothing(tmp_path: Path) -> None:
    def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", code, str(tmp_path), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    consumers = [start(CONSUME), start(CONSUME)]
    producers = [start(PRODUCE, name, str(MESSAGES)) for name in ("a", "b")]
    lines = [
        line for consumer in consumers for line in consumer.communicate(timeout=90)[0].split("\n")
    ]
    assert [producer.wait() for producer in producers] == [0, 0]
    taken = sorted(line for line in lines if line)
    assert taken == sorted(f"{name} {n}" for name in ("a", "b") for n in range(MESSAGES))
    wait_until(lambda: not [*tmp_path.rglob("*.msg")])


def test_oldest_first_and_a_torn_file_is_set_aside(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue("work")
        queue.put("first")
        (tmp_path / "work" / "0-torn.msg").write_text('{"body": ')
        queue.put("second")
        assert [queue.get(block=False).payload for _ in range(2)] == ["first", "second"]
        with pytest.raises(Empty):
            queue.get(block=False)
        assert [path.name for path in tmp_path.rglob(".bad-*")] == [".bad-0-torn.msg"]


def test_a_message_nobody_acknowledged_goes_back(tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue("work")
        queue.put("held")
        queue.get(block=False)
    with connect(tmp_path) as connection:
        assert connection.SimpleQueue("work").get(block=False).payload == "held"


def test_a_worker_that_may_take_no_more_is_not_kept_waiting(tmp_path: Path) -> None:
    """Celery acknowledges between two calls of drain_events, which it allows two seconds each."""
    with connect(tmp_path) as connection:
        queue = connection.SimpleQueue("work")
        queue.put("first")
        queue.put("second")
        queue.consumer.qos(prefetch_count=1)
        first = queue.get(timeout=2)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=2)
        assert time.monotonic() - began < 1
        first.ack()
        assert queue.get(timeout=2).payload == "second"
