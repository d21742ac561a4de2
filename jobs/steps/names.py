"""What a step's templates can see of one record."""

from typing import Any

from jobs.steps.base import StepInput
from jobs.steps.callbacks import callback_url
from projects.templating import Template


class Names:
    """Builds the template names for a step's templates; costly ones only when they are read."""

    __slots__ = ("_callbacks", "_secrets", "templates")

    def __init__(self, templates: list[Template], secrets: dict[str, str] | None = None):
        self.templates = templates
        paths = [path for template in templates for path in template.paths]
        self._callbacks = tuple({p[1] for p in paths if p[0] == "callback_urls" and len(p) > 1})
        self._secrets = {
            name: (secrets or {})[name]
            for name in {p[1] for p in paths if p[0] == "secrets" and len(p) == 2}
            if name in (secrets or {})
        }

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets these templates use."""
        return self._secrets

    def of(self, record: StepInput) -> dict[str, Any]:
        names: dict[str, Any] = {
            "contact": record.contact, "values": record.values, "job": record.job,
            "key": record.key,
        }  # fmt: skip
        if self._secrets:
            names["secrets"] = self._secrets
        if self._callbacks:
            names["callback_urls"] = {
                name: callback_url(record.record_id, str(name)) for name in self._callbacks
            }
        return names
