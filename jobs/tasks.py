"""What Celery runs: each loads nothing itself and calls something testable without Celery."""

from celery import shared_task


@shared_task(ignore_result=True)
def run_batches() -> None:
    """There may be work: take batches until nothing is due."""
    from jobs.execution.worker import work

    work()


@shared_task(ignore_result=True)
def sweep() -> None:
    from jobs.execution.sweep import sweep_and_hint

    sweep_and_hint()
