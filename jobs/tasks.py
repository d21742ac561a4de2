"""What Celery runs: each loads nothing itself and calls something testable without Celery."""

from celery import shared_task


@shared_task(name="jobs.run_batches", ignore_result=True)
def run_batches() -> None:
    """There may be work: take batches until nothing is due."""
    from jobs.execution.worker import work

    work()
