"""One record: its journey through the steps, and what a person can do about it."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views import View
from django.views.generic import TemplateView

from accounts.permissions import Right
from jobs.events import EventKind
from jobs.execution import dispatch
from jobs.journey import journey_of
from jobs.models import JobEvent, Record, Worker
from jobs.pruning import pruning_of
from jobs.querysets.keyset import page_of
from jobs.statuses import RecordStatus
from jobs.views.fragments import FragmentMixin, back_to
from projects.models import Contact
from projects.views.access import ProjectAccessMixin

HISTORY_KINDS = (EventKind.RECORD_CORRECTED, EventKind.RECORD_RETRIED, EventKind.RECORD_RESOLVED)
HISTORY_LIMIT = 50
CONTACT_RECORDS = 25


class RecordView(ProjectAccessMixin, TemplateView):
    template_name = "jobs/record.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        record = get_object_or_404(
            Record.objects.filter(project=self.project).select_related(
                "job__version", "job__pipeline", "contact"
            ),
            pk=self.kwargs["record_id"],
        )
        steps = journey_of(record)
        siblings = Record.objects.filter(project=self.project)
        failed = RecordStatus.FAILED
        return super().get_context_data(
            record=record,
            run=record.job,
            steps=steps,
            pruning=pruning_of(record.job, "journeys") if record.journey_pruned_at else None,
            stopped_step=next((s for s in steps if s.number == record.error_step), None),
            current_step=next((s for s in steps if s.number == record.next_step), None),
            previous_failed=siblings.neighbour(record, status=failed, forward=False),
            next_failed=siblings.neighbour(record, status=failed, forward=True),
            history=self._history(record),
            late_reports=record.late_reports.all()[:HISTORY_LIMIT],  # type: ignore[attr-defined]
            worker_count=Worker.objects.up().count() if record.job.is_active else 1,
            **kwargs,
        )

    def _history(self, record: Record) -> list[JobEvent]:
        """What people did to this record; its number stands in the event's payload."""
        events = JobEvent.objects.filter(
            job_id=record.job_id, kind__in=HISTORY_KINDS, payload__record=record.pk
        )
        return list(events.order_by("number")[:HISTORY_LIMIT])


class RecordActionView(ProjectAccessMixin, View):
    """Retry, approve, reject, mark as done, give up: for one record, with a note."""

    required_right = Right.OPERATE
    http_method_names = ["post"]
    said = {
        "retry": "{} runs again.",
        "approve": "{} was approved and goes on.",
        "reject": "{} was rejected.",
        "mark_done": "{} was marked as done and goes on.",
        "give_up": "{} was given up.",
    }

    def post(self, request: HttpRequest, slug: str, record_id: int) -> HttpResponse:
        record = get_object_or_404(
            Record.objects.filter(project=self.project).select_related("job"), pk=record_id
        )
        action = request.POST.get("action", "")
        if action not in self.said:
            raise Http404("Not found.")
        try:
            act_on(record, action, self.actor, note=request.POST.get("note", "").strip()[:300])
            messages.success(request, self.said[action].format(record.contact_label))
        except dispatch.Refused as refusal:
            messages.error(request, str(refusal))
        return redirect(back_to(request, reverse("jobs:record", args=[slug, record.pk])))


def act_on(record: Record, action: str, actor: Any, *, note: str) -> None:
    """The verb behind a button's name."""
    if action == "retry":
        dispatch.retry_record(record, actor)
        return
    verb = {
        "approve": dispatch.approve, "reject": dispatch.reject,
        "mark_done": dispatch.mark_done, "give_up": dispatch.give_up,
    }[action]  # fmt: skip
    verb(record, actor, note=note)


class ContactRecordsView(FragmentMixin, ProjectAccessMixin, TemplateView):
    """R11: all records of one contact, over spinners and versions, newest first."""

    template_name = "jobs/contact_records.html"
    fragments = {"contact-records": "jobs/_contact_records.html"}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        contact = get_object_or_404(
            Contact.objects.filter(project=self.project), pk=self.kwargs["contact_id"]
        )
        queryset = (
            Record.objects.filter(contact=contact, project=self.project)
            .for_list().select_related("job__version")
        )  # fmt: skip
        return super().get_context_data(
            contact=contact,
            records=page_of(queryset, ["-id"], self.request.GET, size=CONTACT_RECORDS),
            **kwargs,
        )
