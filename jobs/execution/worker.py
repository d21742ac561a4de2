"""The worker process around the engine: its loop, its threads, its heartbeat and its end."""

from jobs.execution import engine


def work() -> None:
    engine.run_here()
