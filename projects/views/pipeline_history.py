"""The versions of a pipeline: the list, one of them, two compared, an old one restored."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views import View
from django.views.generic import ListView, TemplateView

from accounts.permissions import Right
from projects.models import PipelineVersion
from projects.pipelines import drafts
from projects.pipelines.diff import difference
from projects.pipelines.flow import flow_of
from projects.pipelines.read import step_cards
from projects.pipelines.refusal import PipelineRefused
from projects.views.pipeline_access import PipelineAccessMixin

DRAFT = "draft"


class PipelineHistoryView(PipelineAccessMixin, ListView):  # type: ignore[type-arg]
    """Newest first, each with what it changed in one line."""

    template_name = "projects/pipeline_history.html"
    paginate_by = 25

    def get_queryset(self) -> Any:
        return self.pipeline.versions.order_by("-number")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        versions = list(context["object_list"])
        if versions:
            older = self.pipeline.versions.filter(number__lt=versions[-1].number).first()
            for version, before in zip(versions, [*versions[1:], older], strict=True):
                version.before = before
                version.change = difference(
                    before.definition if before else {"steps": []}, version.definition
                ).summary
        return {**context, "versions": versions}


class PipelineVersionView(PipelineAccessMixin, TemplateView):
    template_name = "projects/pipeline_version.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        version = find_version(self.pipeline, str(self.kwargs["number"]))
        numbers = self.pipeline.versions.values_list("number", flat=True)
        return super().get_context_data(
            version=version,
            flow=flow_of(version.definition),
            cards=step_cards(version.definition),
            is_current=version.pk == self.pipeline.current_version_id,
            older=numbers.filter(number__lt=version.number).order_by("-number").first(),
            newer=numbers.filter(number__gt=version.number).order_by("number").first(),
            **kwargs,
        )


class PipelineCompareView(PipelineAccessMixin, TemplateView):
    """`?from=2&to=5`; either may be `draft`. Without them: the last version and the draft."""

    template_name = "projects/pipeline_compare.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        current = self.pipeline.current_version
        sides = {
            "from": self.request.GET.get("from") or (str(current.number) if current else DRAFT),
            "to": self.request.GET.get("to") or DRAFT,
        }
        definitions = {
            side: self.pipeline.draft
            if value == DRAFT
            else find_version(self.pipeline, value).definition
            for side, value in sides.items()
        }
        return super().get_context_data(
            old_side=sides["from"],
            new_side=sides["to"],
            difference=difference(definitions["from"], definitions["to"]),
            choices=list(self.pipeline.versions.defer("definition")[:200]),
            **kwargs,
        )


class PipelineRestoreView(PipelineAccessMixin, View):
    """Puts an old version's steps into the draft; publishing stays a step of its own."""

    required_right = Right.BUILD
    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        version = find_version(self.pipeline, str(self.kwargs["number"]))
        revision = request.POST.get("revision", "")
        if not revision.isdecimal():
            raise Http404("Not found.")
        try:
            drafts.restore(self.pipeline, self.actor, version=version, revision=int(revision))
        except PipelineRefused as refused:
            messages.error(request, refused.message)
            return redirect(self.pipeline.url_of("compare") + f"?from={version.number}&to=draft")
        messages.success(
            request, f"The draft is version {version.number} again. Publish it to use it."
        )
        return redirect(self.pipeline.url_of("edit"))


def find_version(pipeline: Any, number: str) -> PipelineVersion:
    if not number.isdecimal() or len(number) > 9:
        raise Http404("Not found.")
    return get_object_or_404(PipelineVersion, pipeline=pipeline, number=int(number))
