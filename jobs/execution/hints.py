"""Messages to the workers: hints that there may be work. Losing one costs a few seconds."""

import logging

from django.db import transaction

log = logging.getLogger("spindle.engine")


def hint_on_commit() -> None:
    transaction.on_commit(hint)


def hint() -> None:
    """Wake a worker. A broker that is away is logged, never fatal: the sweep sends it again."""
    from jobs.tasks import run_batches  # the task imports the executor, which hints too

    try:
        run_batches.apply_async(retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 -- every transport has errors of its own
        log.warning("The broker took no message (%s); the sweep will send it again.", error)
