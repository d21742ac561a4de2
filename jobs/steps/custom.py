"""Steps written in Python and registered by a team's own app (projects/steps/registry.py)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from jobs.steps.base import (
    Clients,
    Continue,
    EffectClass,
    EffectResult,
    End,
    Failed,
    GoTo,
    Hold,
    Prepared,
    PureResult,
    Retry,
    StepInput,
    Uncertain,
)
from jobs.steps.clients import MaybeSent, NotSent
from jobs.steps.values import storable
from projects.secrets import Masker
from projects.steps.fields import StepSpec
from projects.steps.registry import RetryLater, StepFailed


def config_of(spec: StepSpec, config: dict[str, Any]) -> dict[str, Any]:
    """The config with every default filled in."""
    return {field.name: field.default for field in spec.fields} | config


def _continued(made: Any) -> Continue:
    values = storable(made or {})
    if not isinstance(values, dict):
        raise TypeError(f"a step returns a dictionary, not {type(made).__name__}")
    return Continue(values, values)


class CustomPureStep:
    is_effect: ClassVar[bool] = False

    def __init__(self, spec: StepSpec, config: dict[str, Any]):
        self.run_function = spec.run
        self.config = config_of(spec, config)

    def run(self, record: StepInput) -> PureResult:
        assert self.run_function is not None
        try:
            made = self.run_function(record, self.config)
            if isinstance(made, (Continue, GoTo, End, Hold, Failed)):
                return made
            return _continued(made)
        except StepFailed as error:
            return Failed(str(error), error.error_type)
        except Exception as error:  # noqa: BLE001  # somebody else's code: its record fails alone
            return Failed(f"{type(error).__name__}: {error}"[:2_000], "unknown")


class CustomEffectStep:
    is_effect: ClassVar[bool] = True

    def __init__(self, spec: StepSpec, config: dict[str, Any], secrets: Mapping[str, str]):
        self.spec = spec
        self.run_function = spec.run
        self.config = config_of(spec, config)
        for field in spec.fields:
            if field.type == "secret" and self.config.get(field.name):
                self.config[field.name] = secrets.get(self.config[field.name], "")
        self.masker = Masker(
            {f.name: self.config[f.name] for f in spec.fields if f.type == "secret"}
        )
        self.effect_class: EffectClass = "safe" if spec.effect_class == "safe" else "unsafe"
        self.max_attempts = spec.max_attempts
        self.timeout_seconds = spec.timeout_seconds
        self.keeps_time = False
        self.concurrency = spec.concurrency

    def prepare(self, record: StepInput) -> Prepared | Failed:
        for field in self.spec.fields:
            if field.type == "secret" and field.is_required and not self.config.get(field.name):
                return Failed(f"The secret for {field.title} is missing.", "configuration")
        hidden = {field.name for field in self.spec.fields if field.type == "secret"}
        shown = {name: value for name, value in self.config.items() if name not in hidden}
        return Prepared(host=self.spec.kind, request=record, shown=shown, key=record.key)

    async def perform(self, prepared: Prepared, clients: Clients) -> EffectResult:
        assert self.run_function is not None
        try:
            made = await self.run_function(prepared.request, self.config, clients)
            if isinstance(made, (Continue, Failed, Retry, Uncertain)):
                return made
            return _continued(made)
        except StepFailed as error:
            return Failed(self.masker.text(str(error)), error.error_type)
        except RetryLater as error:
            return Retry(self.masker.text(str(error)), after_seconds=error.after_seconds)
        except NotSent as error:
            text = self.masker.text(str(error))
            return Failed(text, error.error_type) if error.is_final else Retry(text)
        except MaybeSent as error:
            return self._unknown(str(error))
        except Exception as error:  # noqa: BLE001  # nobody knows how far it came
            return self._unknown(f"{type(error).__name__}: {error}")

    def _unknown(self, text: str) -> EffectResult:
        text = self.masker.text(text)[:2_000]
        return Retry(text, "unknown") if self.effect_class == "safe" else Uncertain(text)

    async def probe(self, prepared: Prepared, clients: Clients) -> EffectResult | None:
        return Uncertain("This kind of step cannot look up what became of it.")
