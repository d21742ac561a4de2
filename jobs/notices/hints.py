"""The message that wakes whoever delivers notices. Losing one costs until the next sweep."""

import logging

log = logging.getLogger("spindle.notices")


def hint() -> None:
    """A broker that is away is logged, never fatal: the sweep sends it again."""
    from jobs.tasks import deliver_notices  # the task imports what is delivered

    try:
        deliver_notices.apply_async(retry=False, ignore_result=True)
    except Exception as error:  # noqa: BLE001 -- every transport has errors of its own
        log.warning("The broker took no message (%s); the sweep will send it again.", error)
