"""A team's secrets: named, written, replaced, deleted; never shown."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views import View
from django.views.generic import TemplateView

from accounts.permissions import Right
from accounts.views.access import TeamAccessMixin
from projects.models import Secret, secret_name_validator
from projects.secrets import delete_secret, set_secret


class SecretForm(forms.Form):
    name = forms.CharField(
        max_length=64,
        validators=[secret_name_validator],
        widget=forms.TextInput(attrs={"class": "field", "autocomplete": "off"}),
        help_text="Steps use it as secrets.NAME. An existing name is replaced.",
    )
    value = forms.CharField(
        max_length=10_000,
        strip=False,
        widget=forms.PasswordInput(attrs={"class": "field", "autocomplete": "new-password"}),
        help_text="Kept encrypted; it is never shown again.",
    )


class SecretsView(TeamAccessMixin, TemplateView):
    template_name = "projects/secrets.html"
    required_right = Right.BUILD
    extra_context = {"section": "secrets"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {"form": SecretForm(), "secrets": self.team.secrets.defer("ciphertext"), **context}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = SecretForm(request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        set_secret(self.team, form.cleaned_data["name"], form.cleaned_data["value"], self.actor)
        messages.success(request, f"{form.cleaned_data['name']} is kept.")
        return redirect("projects:secrets", self.team.slug)


class SecretDeleteView(TeamAccessMixin, View):
    required_right = Right.BUILD
    http_method_names = ["post"]

    def post(self, request: HttpRequest, pk: int, **kwargs: Any) -> HttpResponse:
        secret = get_object_or_404(Secret, pk=pk, team=self.team)
        delete_secret(self.team, secret.name, self.actor)
        messages.success(request, f"{secret.name} was deleted; steps that use it will fail.")
        return redirect("projects:secrets", self.team.slug)
