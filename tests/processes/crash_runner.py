"""Runs work that is to die at a given point, each in a forked child of its own.

`python tests/processes/crash_runner.py KEYS`: reads "what point kind spinner" lines, answers each
with the child's exit code. This process itself opens no connection and starts no thread, so that
its children begin with sound locks.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# ruff: noqa: E402 (models can be imported only once Django is set up)
import django

django.setup()

from accounts.permissions import SYSTEM
from jobs import events
from jobs.execution import claims, engine, hints, journal, planning, settle
from jobs.execution.dispatch import dispatch_spinner
from jobs.execution.selection import Selection
from jobs.steps.base import Continue, EffectResult, StepInput
from projects.models import Pipeline
from projects.steps import registry

CRASHED = 66


class Outside:
    """Writes each key it was called with to a file, which outlives the process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    async def act(self, record: StepInput, config: dict[str, Any], clients: Any) -> EffectResult:
        self.before()
        with self.file.open("a") as file:
            file.write(f"{record.key}\n")
        self.after()
        return Continue()


def crash(*args: Any, **kwargs: Any) -> Any:
    os._exit(CRASHED)


def before(module: Any, name: str, nth: int = 1) -> Callable[[Outside], None]:
    """Die where `module.name` is called for the nth time."""

    def patch(world: Outside) -> None:
        original, seen = getattr(module, name), []

        def counted(*args: Any, **kwargs: Any) -> Any:
            seen.append(1)
            return crash() if len(seen) == nth else original(*args, **kwargs)

        setattr(module, name, counted)

    return patch


def after(module: Any, name: str, nth: int = 1) -> Callable[[Outside], None]:
    """Die when the nth call of `module.name` has come back."""

    def patch(world: Outside) -> None:
        original, seen = getattr(module, name), []

        def counted(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            seen.append(1)
            return crash() if len(seen) == nth else answer

        setattr(module, name, counted)

    return patch


def in_call(moment: str) -> Callable[[Outside], None]:
    return lambda world: setattr(world, moment, crash)


POINTS = {
    "before the claim": before(claims, "claim_next"),
    "within the claim's transaction": before(claims, "_enter_job"),
    "after the claim": after(claims, "claim_next"),
    "after loading": after(journal, "load"),
    "before the intent": before(journal, "commit"),
    "within the intent's transaction": before(journal, "_count"),
    "after the intent": after(journal, "commit"),
    "before the call acts": in_call("before"),
    "after the call acted": in_call("after"),
    "before the result": before(journal, "commit", 2),
    "within the result's transaction": before(journal, "_count", 2),
    "after the result": after(journal, "commit", 2),
    "within the end's transaction": before(settle, "_end"),
    "after the end": after(settle, "settle"),
    "while records are made": before(planning, "plan_first_slice"),
    "before the launch's last event": before(events, "emit", 2),
    "between the launch and its message": before(hints, "hint"),
    "nowhere": lambda world: None,
}


def child(what: str, point: str, spinner: int, keys: Path) -> None:
    world = Outside(keys)
    registry.register("act", effect="unsafe")(world.act)
    registry.register("act_safe", effect="safe")(world.act)
    POINTS[point](world)
    if what == "launch":
        pipeline = Pipeline.objects.get(pk=spinner)
        dispatch_spinner(pipeline, SYSTEM, selection=Selection())
    else:
        engine.run_here("first")


def main() -> None:
    keys = Path(sys.argv[1])
    for line in sys.stdin:
        what, point, spinner = line.rstrip("\n").split("\t")
        pid = os.fork()
        if not pid:
            code = 1
            try:
                child(what, point, int(spinner), keys)
                code = 0
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
