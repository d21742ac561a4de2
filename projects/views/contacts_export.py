from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.views import View

from projects.contacts import exporting
from projects.contacts.filtersets import filtered
from projects.views.access import ProjectAccessMixin


class ContactExportView(ProjectAccessMixin, View):
    """The contacts the list's filter selects, as a CSV file."""

    def get(self, request: HttpRequest, **kwargs: Any) -> StreamingHttpResponse:
        contacts = filtered(self.project, request.GET.urlencode())
        response = StreamingHttpResponse(
            exporting.lines(contacts), content_type="text/csv; charset=utf-8"
        )
        name = f"{self.project.slug}-contacts-{timezone.localdate():%Y-%m-%d}.csv"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response
