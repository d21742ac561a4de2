"""Cancel, resend and force stop of one job: asked on a page of its own (or the same in a dialog),
done by POST, told as a message.
"""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import TemplateView

from accounts.permissions import Right
from jobs.execution import dispatch
from jobs.execution.dispatch import Refused
from jobs.models import Job
from jobs.rows import action_for, progress_words
from jobs.statuses import Effort
from jobs.views.detail import is_resent
from jobs.views.scope import JobAccessMixin


class JobActView(JobAccessMixin, TemplateView):
    """GET asks, POST does. With the header `X-Dialog` both answer for a dialog: a fragment, JSON."""

    required_right = Right.OPERATE
    template_name = "jobs/job_act.html"
    verb = ""

    def get_template_names(self) -> list[str]:
        return ["jobs/_job_act.html"] if self.is_dialog else [self.template_name]

    @property
    def is_dialog(self) -> bool:
        return bool(self.request.headers.get("X-Dialog"))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        job = self.job
        return super().get_context_data(
            verb=self.verb,
            efforts=Effort.choices,
            progress=progress_words(job),
            remaining=job.remaining_count,
            action=action_for(job, may_operate=True, is_resent=is_resent(job)),
            next_url=self._next(),
            force_stop_seconds=settings.FORCE_STOP_AFTER_SECONDS,
            **kwargs,
        )

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            level, text, target = self.act()
        except Refused as refusal:
            level, text, target = "warning", str(refusal), self.job
        if self.is_dialog:
            return JsonResponse(
                {
                    "level": level,
                    "message": text,
                    "job": self.job.pk,
                    "url": target.get_absolute_url(),
                }
            )
        getattr(messages, level)(request, text)
        return HttpResponseRedirect(self._next() or target.get_absolute_url())

    def act(self) -> tuple[str, str, Job]:
        raise NotImplementedError

    def _next(self) -> str:
        """Back to the list the button stood in, never to another site."""
        target = self.request.POST.get("next") or self.request.GET.get("next") or ""
        safe = url_has_allowed_host_and_scheme(
            target, allowed_hosts={self.request.get_host()}, require_https=self.request.is_secure()
        )
        return target if safe else ""


class JobCancelView(JobActView):
    verb = "cancel"

    def act(self) -> tuple[str, str, Job]:
        job = dispatch.cancel(self.job, self.actor)
        if job.is_final:
            return "success", f"Job #{job.pk} is cancelled.", job
        return "success", f"Job #{job.pk} is cancelling: it stops at its next step.", job


class JobResendView(JobActView):
    verb = "resend"

    def act(self) -> tuple[str, str, Job]:
        effort = self.request.POST.get("effort")
        if effort is not None and effort not in {"", *Effort.values}:
            raise Refused("Effort is max, high or medium.", code="BAD_EFFORT")
        job, is_new = dispatch.resend(self.job, self.actor, effort=effort)
        if is_new:
            return "success", f"Job #{self.job.pk} was resent as job #{job.pk}.", job
        by = f" by {job.created_by_name}" if job.created_by_name else ""
        return "warning", f"Job #{self.job.pk} had been resent already{by}, as job #{job.pk}.", job


class JobForceStopView(JobActView):
    verb = "force_stop"

    def act(self) -> tuple[str, str, Job]:
        job = dispatch.force_stop(self.job, self.actor)
        return (
            "warning",
            f"Job #{job.pk} was force-stopped. What was on its way may still arrive.",
            job,
        )
