"""What is done with a spinner or workflow as a whole: make, publish, copy, archive, files."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views import View
from django.views.generic import FormView, TemplateView

from accounts.permissions import Right
from projects.models import PipelineVersion
from projects.pipelines import drafts, transfer
from projects.pipelines.diff import difference
from projects.pipelines.forms import ImportForm, NewPipelineForm, PublishForm
from projects.pipelines.refusal import PipelineRefused
from projects.pipelines.starters import STARTERS, starters_for
from projects.publishing import problems_in, publish
from projects.views.pipeline_access import PipelineAccessMixin, PipelineOwnerMixin


class PipelineCreateView(PipelineOwnerMixin, FormView):  # type: ignore[type-arg]
    """A name and a starting point; the editor opens on it."""

    required_right = Right.BUILD
    template_name = "projects/pipeline_new.html"
    form_class = NewPipelineForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "kind": self.kind}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(starters=starters_for(self.kind), **kwargs)

    def form_valid(self, form: NewPipelineForm) -> HttpResponse:
        starter = STARTERS[form.cleaned_data["starter"]]
        pipeline = drafts.create(
            self.owner,
            self.actor,
            name=form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            definition=starter.definition(),
        )
        return redirect(pipeline.url_of("edit"))


class PipelineImportView(PipelineOwnerMixin, FormView):  # type: ignore[type-arg]
    """A JSON file becomes a new draft; a file that would not work changes nothing."""

    required_right = Right.BUILD
    template_name = "projects/pipeline_import.html"
    form_class = ImportForm

    def form_valid(self, form: ImportForm) -> HttpResponse:
        try:
            pipeline = transfer.import_pipeline(
                self.owner,
                self.actor,
                content=form.cleaned_data["content"],
                name=form.cleaned_data["name"],
            )
        except PipelineRefused as refused:
            form.add_error(None, refused.message)
            context = self.get_context_data(form=form, problems=refused.problems)
            return self.render_to_response(context, status=422)
        messages.success(self.request, f"Imported {pipeline.name} as a draft.")
        return redirect(pipeline.url_of("edit"))


class PipelinePublishView(PipelineAccessMixin, TemplateView):
    """What publishing would change, and a note for the history; the POST publishes."""

    required_right = Right.BUILD
    template_name = "projects/pipeline_publish.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        current = self.pipeline.current_version
        before = current.definition if current else {"steps": []}
        kwargs.setdefault("form", PublishForm(initial={"revision": self.pipeline.draft_revision}))
        kwargs.setdefault("problems", problems_in(self.pipeline.draft, self.team.pk))
        return super().get_context_data(
            difference=difference(before, self.pipeline.draft),
            next_number=(current.number if current else 0) + 1,
            **kwargs,
        )

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = PublishForm(request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form), status=422)
        try:
            version = publish(
                self.pipeline,
                self.actor,
                note=form.cleaned_data["note"],
                revision=form.cleaned_data["revision"],
            )
        except PipelineRefused as refused:
            form.add_error(None, refused.message)
            self.pipeline.refresh_from_db()
            context = self.get_context_data(form=form)
            return self.render_to_response(context, status=409)
        messages.success(
            request,
            f"Published version {version.number}. New runs use it; running ones keep theirs.",
        )
        return redirect(self.pipeline.get_absolute_url())


class PipelineDuplicateView(PipelineAccessMixin, View):
    required_right = Right.BUILD
    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        copy = drafts.duplicate(self.pipeline, self.actor)
        messages.success(request, f"{copy.name} is a draft of its own.")
        return redirect(copy.url_of("edit"))


class PipelineArchiveView(PipelineAccessMixin, View):
    """Archive, or bring back (`undo`)."""

    required_right = Right.BUILD
    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if request.POST.get("undo"):
            drafts.unarchive(self.pipeline)
            messages.success(request, f"{self.pipeline.name} is back.")
        else:
            drafts.archive(self.pipeline)
            messages.success(
                request, f"{self.pipeline.name} is archived: no new runs; running ones go on."
            )
        return redirect(self.pipeline.get_absolute_url())


class PipelineExportView(PipelineAccessMixin, View):
    """The draft, or `?version=N`, as a JSON file."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        version = None
        if wanted := request.GET.get("version"):
            number = int(wanted) if wanted.isdecimal() and len(wanted) < 10 else 0
            version = get_object_or_404(PipelineVersion, pipeline=self.pipeline, number=number)
        content = transfer.as_json(transfer.as_document(self.pipeline, version))
        name = transfer.file_name(self.pipeline, version)
        return HttpResponse(
            content,
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
