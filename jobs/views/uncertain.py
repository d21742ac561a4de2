"""The work list of records whose effect may or may not have happened."""

from typing import Any

from django.views.generic import TemplateView

from jobs.journey import journey_of
from jobs.models import Record
from jobs.querysets.keyset import capped_count, page_of
from jobs.statuses import RecordStatus
from projects.views.access import ProjectAccessMixin

RECORDS_A_PAGE = 20


def of_run(queryset: Any, run: str) -> Any:
    """Narrowed to one run where the address names one."""
    if not run:
        return queryset
    return queryset.filter(job_id=int(run)) if run.isdigit() and len(run) < 19 else queryset.none()


class UncertainListView(ProjectAccessMixin, TemplateView):
    """What was being done, the evidence, and the three answers a person can give."""

    template_name = "jobs/record_uncertain.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        queryset = of_run(
            Record.objects.filter(project=self.project, status=RecordStatus.UNCERTAIN),
            self.request.GET.get("run", ""),
        )
        page = page_of(
            queryset.select_related("job__version").prefetch_related("late_reports"),
            ["-id"], self.request.GET, size=RECORDS_A_PAGE,
        )  # fmt: skip
        return super().get_context_data(
            page=page,
            items=[(record, self._stopped(record)) for record in page],
            record_count=capped_count(queryset, ["-id"]),
            **kwargs,
        )

    def _stopped(self, record: Record) -> Any:
        number = record.error_step or record.intent_step or record.next_step
        return next((step for step in journey_of(record) if step.number == number), None)
