"""An import's page, which also knows whether anybody is there to do it."""

from typing import Any

from jobs.models import Worker
from projects.views.contacts_import import ContactImportView


class ImportView(ContactImportView):
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        is_active = self.get_import().is_active
        return super().get_context_data(
            is_without_worker=is_active and not Worker.objects.up().exists(), **kwargs
        )
