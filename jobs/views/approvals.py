"""The records that wait, and the approval of many at once."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.generic import TemplateView

from accounts.permissions import Right
from jobs.execution import dispatch
from jobs.models import Record
from jobs.querysets.keyset import capped_count, page_of
from jobs.statuses import RecordStatus
from jobs.views.fragments import back_to
from jobs.views.uncertain import of_run
from projects.views.access import ProjectAccessMixin

RECORDS_A_PAGE = 50
MOST_AT_ONCE = 500


class ApprovalListView(ProjectAccessMixin, TemplateView):
    """GET lists what waits, for whom and until when; POST approves or rejects the ticked ones."""

    template_name = "jobs/record_waiting.html"
    write_right = Right.OPERATE

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        queryset = self._waiting().filter(status=RecordStatus.WAITING)
        queryset = of_run(queryset, self.request.GET.get("run", ""))
        return super().get_context_data(
            records=page_of(queryset.for_list(), ["-id"], self.request.GET, size=RECORDS_A_PAGE),
            record_count=capped_count(queryset, ["-id"]),
            **kwargs,
        )

    def _waiting(self) -> Any:
        return Record.objects.filter(project=self.project)

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        action = request.POST.get("action", "")
        verb = {"approve": dispatch.approve, "reject": dispatch.reject}.get(action)
        if verb is None:
            raise Http404("Not found.")
        note = request.POST.get("note", "").strip()[:300]
        ids = [int(pk) for pk in request.POST.getlist("record") if pk.isdigit() and len(pk) < 19]
        done = 0
        refusals: dict[str, int] = {}
        for record in self._waiting().filter(pk__in=ids[:MOST_AT_ONCE]).select_related("job"):
            try:
                verb(record, self.actor, note=note)
                done += 1
            except dispatch.Refused as refusal:
                refusals[str(refusal)] = refusals.get(str(refusal), 0) + 1
        self._say(action, done, refusals)
        return redirect(back_to(request, reverse("jobs:approvals", args=[slug])))

    def _say(self, action: str, done: int, refusals: dict[str, int]) -> None:
        word = {"approve": "approved", "reject": "rejected"}[action]
        if not done and not refusals:
            messages.warning(self.request, "Tick the records to approve or reject first.")
        if done:
            messages.success(self.request, f"{done:,} record{'s' * (done != 1)} {word}.")
        for text, count in refusals.items():
            messages.warning(self.request, f"{count:,} left alone: {text}")
