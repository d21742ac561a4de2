"""Status corrections in the admin: a form with a reason, guarded, undone by one button.

JobAdmin and RecordAdmin share this; the writing is done by the verbs `correct_job`,
`correct_record` and `undo_correction`, which refuse what would break the order of states.
"""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from accounts.admin_base import ReadOnlyAdmin
from accounts.permissions import Actor
from jobs.events import EventKind
from jobs.execution import dispatch
from jobs.models import JobEvent


class CorrectionForm(forms.Form):
    status = forms.ChoiceField(label="New status")
    reason = forms.CharField(
        min_length=3,
        max_length=400,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text="Kept in the history, with your name and the time.",
    )
    is_acknowledged = forms.BooleanField(
        required=False, label="Correct it although work is going on"
    )

    def __init__(self, *args: Any, choices: Iterable[tuple[str, str]], is_at_work: bool, **kw: Any):
        super().__init__(*args, **kw)
        self.is_at_work = is_at_work
        self.fields["status"].choices = list(choices)  # type: ignore[attr-defined]
        if not is_at_work:
            del self.fields["is_acknowledged"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.is_at_work and not cleaned.get("is_acknowledged"):
            self.add_error(
                "is_acknowledged",
                "Somebody is still working on it. Cancel it instead, or tick this box.",
            )
        return cleaned


class CorrectionAdmin(ReadOnlyAdmin):
    """Adds `<id>/correct/` and `<id>/undo/<event>/` to a read-only admin."""

    correction_kind: str = EventKind.CORRECTED
    change_form_template = "admin/jobs/correctable_change_form.html"

    def may_correct(self, request: HttpRequest) -> bool:
        options = self.model._meta
        return request.user.has_perm(f"{options.app_label}.change_{options.model_name}")

    def has_correct_permission(self, request: HttpRequest) -> bool:
        return self.may_correct(request)

    # What differs between jobs and records ----------------------------------------------------

    def next_statuses(self, obj: Any) -> list[tuple[str, str]]:
        raise NotImplementedError

    def is_at_work(self, obj: Any) -> bool:
        raise NotImplementedError

    def correct(self, obj: Any, actor: Actor, *, status: str, reason: str) -> None:
        raise NotImplementedError

    def corrections(self, obj: Any) -> list[JobEvent]:
        raise NotImplementedError

    def job_id(self, obj: Any) -> int:
        raise NotImplementedError

    # Views ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        options = self.model._meta
        name = f"{options.app_label}_{options.model_name}"
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/correct/", wrap(self.correct_view), name=f"{name}_correct"),
            path("<int:pk>/undo/<int:event>/", wrap(self.undo_view), name=f"{name}_undo"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        obj = self.get_object(request, object_id)
        extra = {
            "may_correct": obj is not None and self.may_correct(request),
            "corrections": self.corrections(obj) if obj is not None else [],
        }
        return super().change_view(request, object_id, form_url, {**extra, **(extra_context or {})})

    def correct_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if not self.may_correct(request):
            raise PermissionDenied
        obj = get_object_or_404(self.model, pk=pk)
        form = CorrectionForm(
            request.POST or None,
            choices=self.next_statuses(obj),
            is_at_work=self.is_at_work(obj),
        )
        if request.method == "POST" and "cancel" in request.POST:
            return self._cancel_instead(request, obj)
        if request.method == "POST" and form.is_valid():
            try:
                self.correct(
                    obj,
                    Actor(user=request.user),  # type: ignore[arg-type]
                    status=form.cleaned_data["status"],
                    reason=form.cleaned_data["reason"],
                )
            except dispatch.Refused as refusal:
                form.add_error(None, str(refusal))
            else:
                self.message_user(request, f"{obj} was corrected.", messages.SUCCESS)
                return HttpResponseRedirect(self._address(obj))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Correct the status of {obj}",
            "form": form,
            "original": obj,
            "opts": self.model._meta,
            "is_at_work": form.is_at_work,
            "back_url": self._address(obj),
        }
        return TemplateResponse(request, "admin/jobs/correct.html", context)

    def undo_view(self, request: HttpRequest, pk: int, event: int) -> HttpResponse:
        obj = get_object_or_404(self.model, pk=pk)
        if not self.may_correct(request) or request.method != "POST":
            raise PermissionDenied
        correction = get_object_or_404(
            JobEvent, pk=event, job_id=self.job_id(obj), kind=self.correction_kind
        )
        try:
            dispatch.undo_correction(correction, Actor(user=request.user))  # type: ignore[arg-type]
        except dispatch.Refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            self.message_user(request, "The correction was undone.", messages.SUCCESS)
        return HttpResponseRedirect(self._address(obj))

    def _cancel_instead(self, request: HttpRequest, obj: Model) -> HttpResponse:
        from jobs.models import Job

        job = Job.objects.get(pk=self.job_id(obj))
        try:
            dispatch.cancel(job, Actor(user=request.user))  # type: ignore[arg-type]
        except dispatch.Refused as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        else:
            self.message_user(request, f"{job} is being cancelled.", messages.SUCCESS)
        return HttpResponseRedirect(self._address(obj))

    def _address(self, obj: Model) -> str:
        options = self.model._meta
        return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[obj.pk])


admin.site.site_header = "Spindle data correction"
admin.site.site_title = "Spindle admin"
admin.site.index_title = "Everything Spindle keeps"
admin.site.disable_action("delete_selected")
