"""The editor of a draft: a form a step, the JSON beside it, one lock for all who edit."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.views.generic import TemplateView

from accounts.permissions import Right
from projects.models import Pipeline, PipelineKind, Secret
from projects.pipelines import drafts
from projects.pipelines.diff import difference
from projects.pipelines.editor import Edit, apply, as_json, as_line, read_edit
from projects.pipelines.editor_form import edit_cards, kinds_to_add
from projects.pipelines.flow import flow_of
from projects.pipelines.read import step_cards
from projects.pipelines.refusal import PipelineRefused
from projects.steps.validation import Problem, errors, validate
from projects.views.pipeline_access import PipelineAccessMixin

EFFORTS = (("", "Not set"), ("max", "MAX"), ("high", "HIGH"), ("medium", "MEDIUM"))


class PipelineEditView(PipelineAccessMixin, TemplateView):
    """GET shows the draft; to who may not build, for reading.

    POST carries the whole form and an `act`: `save`, `publish` (save, then ask), or a change of
    the steps, which only draws the form anew. Nothing is kept before a save, nothing typed is
    lost by one that fails.
    """

    template_name = "projects/pipeline_edit.html"
    write_right = Right.BUILD

    def get_template_names(self) -> list[str]:
        if self.request.htmx and self.request.method == "POST":  # type: ignore[attr-defined]
            return ["projects/_editor.html"]
        return [self.template_name]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        if not context["can_build"]:
            draft = self.pipeline.draft
            return {**context, "cards": step_cards(draft), "flow": flow_of(draft)}
        return {**context, **self._editor(kwargs.get("edit") or _as_saved(self.pipeline))}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            edit = read_edit(request.POST)
        except PipelineRefused as refused:
            messages.error(request, refused.message)
            return redirect(self.pipeline.url_of("edit"))
        act = request.POST.get("act") or "save"
        if act == "resume":
            return self._draw(edit)
        if edit.json_error or edit.has_two_sources:
            return self._draw(edit, status=422)
        if act in ("save", "publish"):
            return self._save(edit, act)
        apply(edit, f"{act}:{request.POST.get('add_after', '')}" if act.startswith("add:") else act)
        return self._draw(edit)

    def _save(self, edit: Edit, act: str) -> HttpResponse:
        try:
            drafts.save_draft(
                self.pipeline,
                self.actor,
                definition=edit.definition,
                revision=edit.revision,
                name=edit.name,
                description=edit.description,
                default_effort=edit.default_effort if self.kind == PipelineKind.WORKFLOW else None,
            )
        except PipelineRefused as refused:
            return self._refused(edit, refused)
        found = errors(self._problems(self.pipeline.draft))
        messages.success(self.request, _saved_words(len(found)))
        page = "publish" if act == "publish" and not found else "edit"
        return HttpResponseRedirect(self.pipeline.url_of(page))

    def _refused(self, edit: Edit, refused: PipelineRefused) -> HttpResponse:
        if refused.code != "DRAFT_CHANGED":
            return self._draw(edit, status=422, refused=refused)
        theirs = difference(self.pipeline.draft, edit.definition)
        # Whoever saves again from here has seen what the other one wrote.
        edit.revision = self.pipeline.draft_revision
        return self._draw(edit, status=409, refused=refused, conflict=theirs)

    def _draw(self, edit: Edit, *, status: int = 200, **context: Any) -> HttpResponse:
        if self.request.htmx:  # type: ignore[attr-defined]
            status = 200  # htmx swaps only good answers; the words on the page say the rest
        return self.render_to_response(self.get_context_data(edit=edit, **context), status=status)

    def _editor(self, edit: Edit) -> dict[str, Any]:
        secrets = self._secret_names
        problems = validate(edit.definition, secrets=set(secrets))
        cards = edit_cards(
            edit.definition, problems=problems, secret_names=secrets, fresh=edit.fresh
        )
        return {
            "edit": edit,
            "edit_url": self.pipeline.url_of("edit"),
            "cards": cards,
            "flow": flow_of(edit.definition),
            "kinds": kinds_to_add(),
            "efforts": EFFORTS,
            "shown": as_line(edit.definition),
            "previous": as_line(edit.previous) if edit.previous else "",
            "json_was": as_line(edit.definition),
            "json_text": as_json(edit.definition) if edit.json_text is None else edit.json_text,
            "problems": [p for p in problems if p.position - 1 not in edit.fresh],
            "problem_steps": {card.number for card in cards if card.has_errors},
            "is_unsaved": edit.definition != self.pipeline.draft or self.request.method == "POST",
        }

    def _problems(self, definition: dict[str, Any]) -> list[Problem]:
        return validate(definition, secrets=set(self._secret_names))

    @property
    def _secret_names(self) -> list[str]:
        names = Secret.objects.filter(team=self.team).order_by("name")
        return list(names.values_list("name", flat=True))


def _as_saved(pipeline: Pipeline) -> Edit:
    return Edit(
        definition=drafts.as_definition(pipeline.draft or {"steps": []}),
        name=pipeline.name,
        description=pipeline.description,
        default_effort=pipeline.default_effort,
        revision=pipeline.draft_revision,
    )


def _saved_words(count: int) -> str:
    if not count:
        return "Saved. The draft can be published."
    things = "one thing" if count == 1 else f"{count} things"
    return f"Saved. {things.capitalize()} to put right before publishing."
