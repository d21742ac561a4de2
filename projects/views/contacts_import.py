"""Importing contacts: upload, preview and mapping, progress, result."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views import View
from django.views.generic import FormView, TemplateView

from accounts.permissions import Right
from config.streaming import streamed_csv
from projects.contacts import receiving
from projects.contacts.csv_writing import csv_lines
from projects.contacts.forms import ReadingForm, UploadForm
from projects.contacts.models import ImportStatus
from projects.contacts.preview import preview
from projects.contacts.receiving import ImportRefusedError
from projects.models import ContactImport
from projects.views.access import ProjectAccessMixin

SHOWN_PROBLEMS = 100
SHOWN_IMPORTS = 20


class ContactUploadView(ProjectAccessMixin, FormView):
    required_right = Right.OPERATE
    template_name = "projects/contact_upload.html"
    form_class = UploadForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        from django.conf import settings

        return super().get_context_data(
            imports=list(self.project.imports.all()[:SHOWN_IMPORTS]),
            max_megabytes=settings.SPINDLE_MAX_UPLOAD_MB,
            max_rows=settings.SPINDLE_MAX_IMPORT_ROWS,
            **kwargs,
        )

    def form_invalid(self, form: UploadForm) -> HttpResponse:
        response = super().form_invalid(form)
        if getattr(self.request, "upload_too_large", False):
            form.errors["file"] = form.error_class([receiving.too_large()])
            response.status_code = 413
        return response

    def form_valid(self, form: UploadForm) -> HttpResponse:
        file = form.cleaned_data["file"]
        try:
            contact_import = receiving.receive(
                self.project, self.actor, file=file, file_name=file.name
            )
        except ImportRefusedError as error:
            form.add_error("file", str(error))
            return self.form_invalid(form)
        return redirect("projects:contact_import", self.project.slug, contact_import.pk)


class ContactImportView(ProjectAccessMixin, TemplateView):
    """One address for the whole of an import; what it shows depends on the status."""

    required_right = Right.OPERATE

    def get_import(self) -> ContactImport:
        if not hasattr(self, "_import"):
            self._import = get_object_or_404(self.project.imports, pk=self.kwargs["pk"])
            self._import.project = self.project
        return self._import

    def get_template_names(self) -> list[str]:
        if getattr(self.request, "htmx", False):
            return ["projects/_contact_import_progress.html"]
        contact_import = self.get_import()
        if contact_import.status == ImportStatus.UPLOADED:
            return ["projects/contact_import_preview.html"]
        return ["projects/contact_import.html"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().get(request, *args, **kwargs)
        if getattr(request, "htmx", False) and not self.get_import().is_active:
            response["HX-Refresh"] = "true"
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        contact_import = self.get_import()
        context = super().get_context_data(contact_import=contact_import, **kwargs)
        if contact_import.status == ImportStatus.UPLOADED:
            initial = {
                name: getattr(contact_import, name)
                for name in ("encoding", "delimiter", "skip_bad", "tag_name")
            }
            context.setdefault("form", ReadingForm(initial=initial))
            context["preview"] = preview(contact_import)
        elif not contact_import.is_active:
            context["problems"] = list(contact_import.problems.all()[:SHOWN_PROBLEMS])
            context["has_good_rows_left"] = receiving.has_good_rows_left(contact_import)
            context["problem_count"] = contact_import.problems.count()
        return context

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        contact_import = self.get_import()
        action = request.POST.get("action")
        if action == "discard":
            if receiving.discard(contact_import):
                messages.success(request, "The upload is discarded. No contact was changed.")
            return redirect("projects:contacts_import", self.project.slug)
        if action == "good_rows":
            receiving.start_with_good_rows(contact_import)
        if contact_import.status != ImportStatus.UPLOADED:
            return redirect(contact_import)
        form = ReadingForm(request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        columns = range(len(contact_import.header))
        targets = [request.POST.get(f"column_{n}", "") for n in columns]
        try:
            receiving.change_settings(contact_import, mapping=targets, **form.cleaned_data)
            if action == "start":
                receiving.start(contact_import)
        except ImportRefusedError as error:
            form.add_error(None, str(error))
            return self.render_to_response(self.get_context_data(form=form))
        return redirect(contact_import)


class ContactImportProblemsView(ProjectAccessMixin, View):
    """The rows that were not taken, as a CSV file."""

    required_right = Right.OPERATE

    def get(self, request: HttpRequest, *, pk: int, **kwargs: Any) -> StreamingHttpResponse:
        contact_import = get_object_or_404(self.project.imports, pk=pk)
        name = f"import-{pk}-problems.csv"
        return streamed_csv(request, problem_lines(contact_import), file_name=name)


def problem_lines(contact_import: ContactImport) -> Iterator[str]:
    columns = ("line", "column", "reason", "value", "kind")
    problems = contact_import.problems.values_list(*columns).iterator(chunk_size=2000)
    return csv_lines(columns, ([problem] for problem in problems))
