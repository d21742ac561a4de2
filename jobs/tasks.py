"""What Celery runs: each loads nothing itself and calls something testable without Celery."""

from typing import Any

from celery import shared_task, signals

from jobs.execution import parting, worker
from jobs.execution.sweep import sweep_and_hint


@shared_task(ignore_result=True)
def run_batches() -> None:
    """There may be work: take batches until nothing is due."""
    worker.work()


@shared_task(name="jobs.work_on_bulk_actions", ignore_result=True)
def work_on_bulk_actions() -> None:
    """There may be an open bulk action; also sent by beat, for messages that got lost."""
    from jobs import bulk_actions  # it sends this task

    bulk_actions.work()


@shared_task(ignore_result=True)
def sweep() -> None:
    from jobs.notices import delivery  # the engine knows nothing of mails

    sweep_and_hint()
    delivery.sweep()


@shared_task(name="jobs.deliver_notices", ignore_result=True)
def deliver_notices() -> None:
    """Notices may wait to be mailed or sent to Slack."""
    from jobs.notices import delivery

    delivery.deliver_due()


@shared_task(name="jobs.prune", ignore_result=True)
def prune() -> None:
    """One bounded round of what teams' retention rules let go of."""
    from jobs.execution.retention import prune_round

    prune_round()


# --- The worker's life: it looks for work as soon as it is up, and ends softly -----------------


@signals.worker_process_init.connect
def child_is_up(**_: object) -> None:
    worker.process()


@signals.worker_ready.connect
def worker_is_up(sender: Any = None, **_: object) -> None:
    # A prefork parent only feeds its children; every other pool works in this process.
    pool = type(getattr(sender, "pool", None)).__module__
    if "prefork" not in pool:
        worker.process()


@signals.worker_shutting_down.connect
def shutdown_begins(**_: object) -> None:
    parting.request()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def process_ends(**_: object) -> None:
    worker.leave()
