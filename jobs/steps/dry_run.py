"""A definition tried on one contact, without effects: nothing is sent and nothing is stored.

Pure steps really run. An effect step shows the request it would send, its secrets masked, and the
values it would bring are unknown: what later steps read of them is noted, not invented. Waits are
passed over. Conditions are followed as they fall.
"""

import time
from typing import Any

from jobs.steps.base import Continue, End, Failed, GoTo, Hold, PureResult, StepInput
from jobs.steps.compile import compile_step
from jobs.steps.http import HttpStep
from projects.steps import registry
from projects.templating import Template, TemplateProblem

NOT_SENT = "Test only: not sent."


def dry_run(
    definition: dict[str, Any], contact_values: dict[str, Any], *, effort: str = "",
    secrets: dict[str, str] | None = None, job: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Journey entries as in Record.journey, each with `notes` (a list of sentences) besides.

    Steps after the last entry were not reached. `secrets` may be the real ones, or names with
    stand-ins (`dict.fromkeys(names, "secret")`): they are masked either way. The last entry's
    `outcome`, where there is one, is the record's. Never raises for a definition of any shape.
    """
    trial = _Trial(definition.get("steps") or [], contact_values, effort, secrets or {}, job or {})
    return trial.entries()


class _Trial:
    def __init__(
        self, steps: list[Any], contact: dict[str, Any], effort: str, secrets: dict[str, str],
        job: dict[str, Any],
    ):  # fmt: skip
        self.steps, self.contact, self.effort, self.secrets = steps, contact, effort, secrets
        self.job = {"id": 0, "effort": effort} | job
        self.values: dict[str, Any] = {}
        # Fields that an effect step would bring: absent here, but not forgotten by the author.
        self.promised: dict[str, str] = {}

    def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        number = 1
        while number <= len(self.steps):
            entry, following = self._entry(number)
            found.append(entry)
            if following is None:
                break
            found.extend(self._blank(n, "skipped") for n in range(number + 1, following))
            number = following
        return found

    def _blank(self, number: int, status: str) -> dict[str, Any]:
        step = self.steps[number - 1]
        step = step if isinstance(step, dict) else {}
        return {
            "step": number, "name": str(step.get("name", "")), "kind": str(step.get("kind", "")),
            "status": status, "ms": 0.0, "attempts": 1, "input": {}, "output": {}, "error": "",
            "error_type": "", "notes": [],
        }  # fmt: skip

    def _entry(self, number: int) -> tuple[dict[str, Any], int | None]:
        """One step's entry and the number of the next step (None: the record ends here)."""
        entry = self._blank(number, "completed")
        began = time.perf_counter()
        try:
            compiled = compile_step(
                self.steps[number - 1], secrets=self.secrets, effort=self.effort
            )
            record = StepInput(
                self.contact, self.values, self.job, key=f"test-1-{number}", record_id=0
            )
            entry["notes"] = self._missing(compiled, record)
            if compiled.is_effect:
                following = self._effect(entry, compiled, record, number)
            else:
                following = self._pure(entry, compiled, record, number)
        except (TemplateProblem, registry.UnknownKind, LookupError, ValueError, TypeError,
                AttributeError) as error:  # fmt: skip
            entry |= {"status": "failed", "error_type": "configuration",
                      "error": f"This step cannot run: {error}."}  # fmt: skip
            following = None
        entry["ms"] = round((time.perf_counter() - began) * 1000, 2)
        return entry, following

    def _pure(
        self, entry: dict[str, Any], compiled: Any, record: StepInput, number: int
    ) -> int | None:
        result: PureResult = compiled.run(record)
        if isinstance(result, Continue):
            self.values = self.values | result.values
            entry["output"] = result.output
        elif isinstance(result, GoTo):
            entry["output"] = result.output
            entry["notes"].append(f"Skips to {result.step_name}: {result.reason}.")
            return self._number_of(result.step_name, number)
        elif isinstance(result, End):
            entry["outcome"] = result.outcome
            entry["output"] = {"outcome": result.outcome, **result.metadata}
            if result.reason:
                entry["notes"].append(f"Ends here: {result.reason}.")
            return None
        elif isinstance(result, Hold):
            entry["output"] = _shown_hold(result)
            entry["notes"].append("Test only: a run would wait here.")
        elif isinstance(result, Failed):
            entry |= {"status": "failed", "error": result.error, "error_type": result.error_type}
            return None
        return number + 1

    def _effect(
        self, entry: dict[str, Any], compiled: Any, record: StepInput, number: int
    ) -> int | None:
        prepared = compiled.prepare(record)
        if isinstance(prepared, Failed):
            entry |= {"status": "failed", "error": prepared.error,
                      "error_type": prepared.error_type}  # fmt: skip
            return None
        entry["input"] = dict(prepared.shown)
        if isinstance(compiled, HttpStep):
            entry["input"]["headers"] = compiled.shown_headers(prepared.request)
        entry["output"] = {"sent": False}
        entry["notes"].append(NOT_SENT)
        config = self.steps[number - 1].get("config", {})
        kept = [row.get("field") for row in config.get("mapping") or []]
        if entry["kind"] == "ai":
            kept.append(config.get("field") or "answer")
        for field in kept:
            self.promised[str(field)] = entry["name"]
        return number + 1

    def _number_of(self, name: str, number: int) -> int:
        for later in range(number + 1, len(self.steps) + 1):
            if self.steps[later - 1].get("name") == name:
                return later
        raise ValueError(f"there is no later step {name!r}")

    def _missing(self, compiled: Any, record: StepInput) -> list[str]:
        """Sentences on fields that templates read and this contact does not have."""
        names = getattr(compiled, "names", None)
        if names is None:
            return []
        known = names.of(record) | {"now": "", "today": "", "secrets": self.secrets}
        notes = []
        for path in dict.fromkeys(p for t in names.templates for p in _absent(t, known)):
            root, _, field = path.partition(".")
            giver = self.promised.get(field.partition(".")[0]) if root == "values" else None
            if giver:
                notes.append(f"{path} comes from {giver}, which was not sent; here it is empty.")
            else:
                notes.append(f"{path} is empty: this contact has no such field.")
        return notes


def _absent(template: Template, known: dict[str, Any]) -> list[str]:
    return [path for path in template.missing(known) if not path.startswith("callback_urls")]


def _shown_hold(result: Hold) -> dict[str, Any]:
    shown: dict[str, Any] = {"waits_for": result.kind}
    if result.prompt:
        shown["prompt"] = result.prompt
    if result.until:
        shown["until"] = result.until.isoformat(timespec="seconds")
    return shown
