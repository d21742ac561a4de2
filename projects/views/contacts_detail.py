"""One contact: its page, adding, changing, deleting."""

from typing import Any

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import NoReverseMatch, reverse
from django.views.generic import FormView, TemplateView

from accounts.permissions import Right
from projects.contacts import verbs
from projects.contacts.cells import as_text
from projects.contacts.forms import ContactForm
from projects.models import Contact
from projects.views.access import ProjectAccessMixin


class ContactView(ProjectAccessMixin, TemplateView):
    template_name = "projects/contact_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        contact = get_object_or_404(
            self.project.contacts.select_related("last_import"), pk=self.kwargs["pk"]
        )
        attributes = [(key, as_text(value)) for key, value in sorted(contact.attributes.items())]
        return super().get_context_data(
            contact=contact,
            tags=list(contact.tags.all()),
            attributes=attributes,
            records_url=records_url(self.project.slug, contact.pk),
            **kwargs,
        )


def records_url(slug: str, pk: int) -> str:
    """Where jobs/ shows the contact's records; "" while it does not."""
    try:
        return reverse("jobs:contact_records", args=[slug, pk])
    except NoReverseMatch:
        return ""


class ContactFormView(ProjectAccessMixin, FormView):
    """Without `pk` in the address it adds a contact."""

    required_right = Right.OPERATE
    template_name = "projects/contact_form.html"
    form_class = ContactForm

    def get_form_kwargs(self) -> dict[str, Any]:
        pk = self.kwargs.get("pk")
        self.contact = get_object_or_404(self.project.contacts, pk=pk) if pk else None
        return {**super().get_form_kwargs(), "project": self.project, "contact": self.contact}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {**context, "contact": self.contact}

    def form_valid(self, form: ContactForm) -> HttpResponse:
        try:
            contact = verbs.save_contact(
                self.project, self.contact, values=form.cleaned_data,
                tags=form.cleaned_data["tags"],
            )  # fmt: skip
        except IntegrityError:
            form.add_error(None, "Another contact with this identity was made just now.")
            return self.form_invalid(form)
        messages.success(self.request, f"{contact} is {'saved' if self.contact else 'added'}.")
        return redirect("projects:contact", self.project.slug, contact.pk)


class ContactDeleteView(ProjectAccessMixin, TemplateView):
    required_right = Right.OPERATE
    template_name = "projects/contact_delete.html"

    def get_contact(self) -> Contact:
        return get_object_or_404(self.project.contacts, pk=self.kwargs["pk"])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(contact=self.get_contact(), **kwargs)

    def post(self, request: Any, **kwargs: Any) -> HttpResponse:
        contact = self.get_contact()
        name = str(contact)
        verbs.delete_contact(contact)
        messages.success(request, f"{name} is deleted.")
        return redirect("projects:contacts", self.project.slug)
