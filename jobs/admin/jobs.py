from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.permissions import Actor
from jobs.admin.corrections import CorrectionAdmin
from jobs.events import EventKind
from jobs.execution import dispatch
from jobs.models import Batch, Job, JobEvent
from jobs.statuses import ACTIVE_JOB_STATUSES, JOB_TRANSITIONS, BatchStatus, JobStatus

Act = Callable[[Job, Actor, str], object]


def _resend(job: Job, actor: Actor) -> None:
    new, is_new = dispatch.resend(job, actor)
    if not is_new:
        raise dispatch.Refused(f"had been resent already, as #{new.pk}", code="ALREADY_RESENT")


# What each bulk action does to one job; a refusal becomes the reason it is skipped.
BULK_ACTS: dict[str, tuple[str, bool, Act]] = {
    "cancel": ("Cancel", False, lambda job, actor, reason: dispatch.cancel(job, actor)),
    "resend": ("Resend", False, lambda job, actor, reason: _resend(job, actor)),
    "retry_failed": (
        "Retry failed records of",
        False,
        lambda job, actor, reason: dispatch.retry_failed(job, actor),
    ),
    "mark_failed": (
        "Mark as failed",
        True,
        lambda job, actor, reason: dispatch.correct_job(
            job, actor, status=JobStatus.FAILED, reason=reason
        ),
    ),
}


@admin.register(Job)
class JobAdmin(CorrectionAdmin):
    list_display = ("pk", "name", "kind", "status", "team", "agent_name", "progress", "created_at")
    list_display_links = ("pk", "name")
    list_filter = ("status", "kind", "effort_level", "is_corrected")
    list_select_related = ("team",)
    search_fields = ("=id", "=ticket_key", "workflow_slug__startswith")
    search_help_text = "A job's number, a ticket key, or how a workflow's name begins."
    ordering = ("-pk",)
    actions = ("bulk_cancel", "bulk_resend", "bulk_retry_failed", "bulk_mark_failed")

    @admin.display(description="done / failed / total")
    def progress(self, job: Job) -> str:
        return f"{job.done_count:,} / {job.failed_count:,} / {job.total_count:,}"

    def next_statuses(self, obj: Job) -> list[tuple[str, str]]:
        allowed = JOB_TRANSITIONS[obj.status] - set(ACTIVE_JOB_STATUSES)
        return [(s.value, s.label) for s in JobStatus if s in allowed]

    def is_at_work(self, obj: Job) -> bool:
        return (
            obj.is_active
            and Batch.objects.filter(job_id=obj.pk, status=BatchStatus.RUNNING).exists()
        )

    def correct(self, obj: Job, actor: Actor, *, status: str, reason: str) -> None:
        dispatch.correct_job(obj, actor, status=status, reason=reason)

    def corrections(self, obj: Job) -> list[JobEvent]:
        kinds = [EventKind.CORRECTED, EventKind.CORRECTION_UNDONE]
        return list(obj.events.filter(kind__in=kinds).order_by("-number")[:20])

    def job_id(self, obj: Job) -> int:
        return obj.pk

    @admin.action(description="Cancel", permissions=["correct"])
    def bulk_cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        return self._bulk(request, queryset, "cancel")

    @admin.action(description="Resend", permissions=["correct"])
    def bulk_resend(self, request: HttpRequest, queryset: QuerySet[Job]) -> HttpResponse | None:
        return self._bulk(request, queryset, "resend")

    @admin.action(description="Retry failed records", permissions=["correct"])
    def bulk_retry_failed(
        self, request: HttpRequest, queryset: QuerySet[Job]
    ) -> HttpResponse | None:
        return self._bulk(request, queryset, "retry_failed")

    @admin.action(description="Mark as failed", permissions=["correct"])
    def bulk_mark_failed(
        self, request: HttpRequest, queryset: QuerySet[Job]
    ) -> HttpResponse | None:
        return self._bulk(request, queryset, "mark_failed")

    def _bulk(
        self, request: HttpRequest, queryset: QuerySet[Job], name: str
    ) -> HttpResponse | None:
        """Ask first; then act on each by the portal's verb, and say who was skipped and why."""
        title, needs_reason, act = BULK_ACTS[name]
        reason = request.POST.get("reason", "").strip()
        is_confirmed = "confirmed" in request.POST and (not needs_reason or len(reason) >= 3)
        if not is_confirmed:
            context: dict[str, Any] = {
                **self.admin_site.each_context(request),
                "title": f"{title} {queryset.count()} jobs?",
                "jobs": queryset,
                "action_name": f"bulk_{name}",
                "needs_reason": needs_reason,
                "was_asked": "confirmed" in request.POST,
                "opts": self.model._meta,
            }
            return TemplateResponse(request, "admin/jobs/bulk_confirm.html", context)
        skipped: dict[str, list[int]] = {}
        acted = 0
        with dispatch.one_hint():
            for job in queryset:
                try:
                    act(job, Actor(user=request.user), reason)  # type: ignore[arg-type]
                    acted += 1
                except dispatch.Refused as refusal:
                    skipped.setdefault(str(refusal), []).append(job.pk)
        self.message_user(request, f"{acted} acted on, {sum(map(len, skipped.values()))} skipped.")
        for why, ids in skipped.items():
            numbers = ", ".join(f"#{pk}" for pk in ids)
            self.message_user(request, f"Skipped {numbers}: {why}", messages.WARNING)
        return None
