"""Testing a draft on one contact: the journey it would make, with nothing sent."""

import json
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.views.generic import TemplateView

from accounts.permissions import Right
from jobs.statuses import Effort, StepStatus
from jobs.steps.dry_run import NOT_SENT, dry_run
from projects.models import Contact, Secret
from projects.pipelines import drafts
from projects.pipelines.diff import as_text
from projects.pipelines.editor import as_line, read_edit
from projects.pipelines.refusal import PipelineRefused
from projects.publishing import problems_in
from projects.steps.validation import errors
from projects.views.pipeline_access import PipelineAccessMixin

CONTACTS_OFFERED = 20
# What the editor's form holds besides the steps: carried along, so that coming back loses nothing.
CARRIED = ("name", "description", "default_effort", "revision")


@dataclass(slots=True)
class TestEntry:
    """One step of the tried journey, as its card shows it."""

    step: int
    name: str
    kind: str
    status: str
    label: str
    error: str
    notes: list[str]
    rows: list[tuple[str, str]]
    outcome: str
    is_unsent: bool

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "TestEntry":
        is_unsent = entry["output"].get("sent") is False
        output = {} if is_unsent else entry["output"]
        return cls(
            step=entry["step"],
            name=entry["name"],
            kind=entry["kind"],
            status=entry["status"],
            label=StepStatus(entry["status"]).label,
            error=entry["error"],
            notes=[note for note in entry["notes"] if note != NOT_SENT],
            rows=[(key, as_text(value)) for key, value in {**entry["input"], **output}.items()],
            outcome=entry.get("outcome", ""),
            is_unsent=is_unsent,
        )


class DryRunView(PipelineAccessMixin, TemplateView):
    """GET tests the draft as saved; POST the one in the editor's form, saved or not."""

    required_right = Right.BUILD
    template_name = "projects/pipeline_test.html"
    definition: dict[str, Any] | None = None

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data())

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            if request.POST.get("definition"):
                self.definition = drafts.as_definition(json.loads(request.POST["definition"]))
            else:
                self.definition = read_edit(request.POST).definition
        except (PipelineRefused, json.JSONDecodeError) as error:
            raise PermissionDenied(str(error)) from error
        return self.render_to_response(self.get_context_data())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        definition = self.definition or self.pipeline.draft
        answers = self.request.POST if self.request.method == "POST" else self.request.GET
        search = answers.get("contact_search", "").strip()
        contacts = self._contacts(search)
        contact = self._contact(answers.get("contact", ""), contacts)
        asked = {name: answers.get(name, "").strip() for name in ("effort", "ticket_url", "hint")}
        problems = errors(problems_in(definition, self.team.pk))
        is_unsaved = self.request.method == "POST"
        entries: list[TestEntry] = []
        if not problems and (contact or not self.pipeline.is_spinner):
            entries = self._try(definition, contact, asked)
        return super().get_context_data(
            problems=problems,
            entries=entries,
            unreached=definition["steps"][len(entries) :] if entries else [],
            outcome=entries[-1].outcome if entries else "",
            is_unsaved=is_unsaved,
            definition=as_line(definition),
            carried={name: answers.get(name, "") for name in CARRIED},
            contacts=contacts,
            contact=contact,
            contact_search=search,
            efforts=Effort.choices,
            **asked,
            **kwargs,
        )

    def _try(
        self, definition: dict[str, Any], contact: Contact | None, asked: dict[str, str]
    ) -> list["TestEntry"]:
        names = Secret.objects.filter(team=self.team).values_list("name", flat=True)
        ticket_url = asked["ticket_url"]
        job = {
            "name": self.pipeline.name,
            "project": self.project.name if self.project else "",
            "spinner": self.pipeline.name,
            "ticket_url": ticket_url,
            "ticket_key": ticket_url.rstrip("/").rpartition("/")[2],
            "input": {"ticket_url": ticket_url, "hint": asked["hint"]},
        }
        journey = dry_run(
            definition,
            contact.as_template_values() if contact else {},
            effort=asked["effort"] or self.pipeline.default_effort,
            # Names with stand-ins: a test shows masked secrets, so it needs no real ones.
            secrets=dict.fromkeys(names, "secret"),
            job=job,
        )
        return [TestEntry.of(entry) for entry in journey]

    def _contacts(self, search: str) -> list[Contact]:
        if not self.project:
            return []
        contacts = Contact.objects.filter(project=self.project)
        for word in search.lower().split():
            contacts = contacts.filter(Q(search_text__contains=word))
        return list(contacts.order_by("pk")[:CONTACTS_OFFERED])

    def _contact(self, chosen: str, offered: list[Contact]) -> Contact | None:
        if chosen.isdecimal() and len(chosen) < 19:
            found = Contact.objects.filter(project=self.project, pk=int(chosen)).first()
            if found and self.project:
                return found
        return offered[0] if offered else None
