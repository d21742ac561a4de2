"""A new project, and a project's own settings."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.generic import TemplateView

from accounts.permissions import Right
from accounts.views.access import TeamAccessMixin
from projects.models import Project
from projects.projects import create_project, rename_project
from projects.views.access import ProjectAccessMixin


class ProjectForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ("name",)
        widgets = {"name": forms.TextInput(attrs={"class": "field"})}


class ProjectCreateView(TeamAccessMixin, TemplateView):
    template_name = "projects/project_form.html"
    required_right = Right.ADMINISTER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {"form": ProjectForm(), **super().get_context_data(**kwargs)}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = ProjectForm(request.POST)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        project = create_project(self.team, self.actor, name=form.cleaned_data["name"])
        messages.success(request, f"{project} is ready: import its contacts next.")
        return redirect("projects:contacts", project.slug)


class ProjectSettingsView(ProjectAccessMixin, TemplateView):
    template_name = "projects/project_settings.html"
    write_right = Right.ADMINISTER

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {"form": ProjectForm(instance=self.project), **context}

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = ProjectForm(request.POST, instance=self.project)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        self.project.refresh_from_db()
        rename_project(self.project, self.actor, name=form.cleaned_data["name"])
        messages.success(request, "Saved.")
        return redirect("projects:project_settings", self.project.slug)
