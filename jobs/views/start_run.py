"""Starting a run: what and for whom, then what it will cost, then the start itself."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.http import urlencode
from django.views.generic import FormView, TemplateView

from accounts.permissions import Right
from jobs.execution import dispatch
from jobs.execution.forecast import forecast
from jobs.forms.start_run import StartRunForm
from jobs.models import Worker
from projects.contacts import importing, receiving
from projects.contacts.models import ImportStatus
from projects.models import ContactImport
from projects.views.access import ProjectAccessMixin

IMPORT_TURN_SECONDS = 5.0
KEPT = ("spinner", "contacts", "filter", "failed_of", "import", "effort")


class StartRunView(ProjectAccessMixin, FormView):
    """The form; a file given with it is imported first, then the forecast is shown."""

    template_name = "jobs/start_run.html"
    form_class = StartRunForm
    required_right = Right.OPERATE

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "project": self.project}

    def get_initial(self) -> dict[str, Any]:
        given = {name: self.request.GET[name] for name in KEPT if self.request.GET.get(name)}
        if "contacts" not in given:
            given["contacts"] = next((k for k in ("import", "failed_of") if k in given), "all")
        return given

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(worker_count=Worker.objects.up().count(), **kwargs)

    def form_valid(self, form: StartRunForm) -> HttpResponse:
        params = form.as_params()
        if params["contacts"] == "file":
            try:
                imported = self._import(form.cleaned_data["file"])
            except receiving.ImportRefusedError as refusal:
                form.add_error("file", str(refusal))
                return self.form_invalid(form)
            if imported.status != ImportStatus.COMPLETED:
                return self._see_import(imported)
            params |= {"contacts": "import", "import": str(imported.pk)}
        address = reverse("jobs:start_run_forecast", args=[self.project.slug])
        return redirect(f"{address}?{urlencode(params)}")

    def _import(self, file: Any) -> ContactImport:
        """A small file is imported at once; a large one goes on in the background."""
        name = file.name or "contacts.csv"
        imported = receiving.receive(
            self.project, self.actor, file=file, file_name=name, tag_name=name[:60]
        )
        try:
            receiving.start(imported)
        except receiving.ImportRefusedError:
            return imported  # its columns need a person's choice
        importing.work(imported.pk, turn_seconds=IMPORT_TURN_SECONDS)
        imported.refresh_from_db()
        return imported

    def _see_import(self, imported: ContactImport) -> HttpResponse:
        if imported.status == ImportStatus.FAILED:
            messages.error(self.request, f"{imported.file_name}: {imported.error}")
        else:
            messages.info(
                self.request, "When the import is done, start the run over its contacts from here."
            )
        return redirect(imported.get_absolute_url())


class ForecastView(ProjectAccessMixin, TemplateView):
    """GET says what the run will take; POST starts it, once for each `launch_key`."""

    template_name = "jobs/start_run_forecast.html"
    required_right = Right.OPERATE

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = StartRunForm(self.request.GET, project=self.project)
        if not form.is_valid():
            return super().get_context_data(form=form, **kwargs)
        return super().get_context_data(
            form=form,
            spinner=form.cleaned_data["spinner"],
            selection=form.selection(),
            params=form.as_params(),
            change_query=urlencode(form.as_params()),
            forecast=forecast(
                form.cleaned_data["spinner"],
                form.selection(),
                effort=form.cleaned_data["effort"],
                pace=form.cleaned_data["pace_per_minute"],
            ),
            launch_key=uuid.uuid4().hex,
            worker_count=Worker.objects.up().count(),
            **kwargs,
        )

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        if "forecast" not in context:
            for errors in context["form"].errors.values():
                messages.error(self.request, str(errors[0]))
            return redirect("jobs:start_run", self.project.slug)
        return super().render_to_response(context, **kwargs)

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        form = StartRunForm(request.POST, project=self.project)
        if not form.is_valid():
            for errors in form.errors.values():
                messages.error(request, str(errors[0]))
            return redirect("jobs:start_run", slug)
        try:
            run = dispatch.dispatch_spinner(
                form.cleaned_data["spinner"], self.actor, selection=form.selection(),
                effort=form.cleaned_data["effort"], options=form.options(),
                launch_key=request.POST.get("launch_key", "")[:64] or None,
                waits_for_plan="wait" in request.POST,
            )  # fmt: skip
        except dispatch.Refused as refusal:
            return self._refused(form, refusal)
        began = "waits for the plan with" if run.plan_held_at else "started over"
        messages.success(request, f"Run #{run.pk} {began} {run.total_count:,} contacts.")
        return redirect("jobs:runs", slug, run.pk)

    def _refused(self, form: StartRunForm, refusal: dispatch.Refused) -> HttpResponse:
        """P2: nothing has started; used, allowed, reset date and how many would fit."""
        chosen = form.cleaned_data["spinner"]
        told = forecast(chosen, form.selection(), effort=form.cleaned_data["effort"])
        context = {
            **super().get_context_data(),
            "may_wait": refusal.code == "PLAN_LIMIT" and told.may_wait,
            "params": form.as_params(),
            "launch_key": uuid.uuid4().hex,
            "refusal": refusal,
            "facts": refusal.facts,
            "resets_on": parse_date(refusal.facts.get("resets_on", "")),
            "spinner": chosen,
            "change_query": urlencode(form.as_params()),
        }
        status = 409 if refusal.code == "PLAN_LIMIT" else 400
        return render(self.request, "jobs/start_run_refused.html", context, status=status)
