"""Steps that kill or hang their worker for one contact, and one that counts who went through."""

import asyncio
import os
import time
from typing import Any

from projects.steps.registry import RetryLater, register


@register("poison")
def poison(record: Any, config: dict[str, Any]) -> dict[str, Any]:
    if record.contact["external_id"] == os.environ.get("TEST_POISON"):
        os._exit(66)
    if record.contact["external_id"] == os.environ.get("TEST_HANG"):
        time.sleep(3600)
    return {}


@register("flaky", effect="safe")
async def flaky(record: Any, config: dict[str, Any], clients: Any) -> dict[str, Any]:
    """Turned away once, as by a busy provider."""
    if record.attempt == 1:
        raise RetryLater("busy", after_seconds=0.5)
    return {}


@register("stuck", effect="unsafe", timeout_seconds=1)
async def stuck(record: Any, config: dict[str, Any], clients: Any) -> dict[str, Any]:
    """An effect that never comes back."""
    await asyncio.Event().wait()
    return {}


if os.environ.get("TEST_NEWER"):  # a release that not every worker has

    @register("newer")
    def newer(record: Any, config: dict[str, Any]) -> dict[str, Any]:
        return {"worker": os.getppid()}
