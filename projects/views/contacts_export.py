from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.views import View

from config.streaming import streamed_csv
from projects.contacts import exporting
from projects.contacts.filtersets import filtered
from projects.views.access import ProjectAccessMixin


class ContactExportView(ProjectAccessMixin, View):
    """The contacts the list's filter selects, as a CSV file."""

    def get(self, request: HttpRequest, **kwargs: Any) -> StreamingHttpResponse:
        contacts = filtered(self.project, request.GET.urlencode())
        name = f"{self.project.slug}-contacts-{timezone.localdate():%Y-%m-%d}.csv"
        return streamed_csv(request, exporting.lines(contacts), file_name=name)
