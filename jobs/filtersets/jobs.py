"""What jobs can be filtered by, on the Jobs page, in exports, bulk actions and over the API."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import django_filters as filters
from django.db.models import Q, QuerySet
from django.utils import timezone

from jobs import usual
from jobs.filtersets.times import before, since
from jobs.models import Job
from jobs.models.jobs import JobKind
from jobs.querysets.jobs import JobQuerySet
from jobs.querysets.plain import ticket_filters
from jobs.statuses import ACTIVE_JOB_STATUSES, Effort, JobStatus
from projects.models import Project

STATUS_CHOICES = [*JobStatus.choices, ("active", "Active")]
PLAIN = {
    "status": "status", "workflow": "workflow_slug", "agent": "agent_name",
    "effort": "effort_level",
}  # fmt: skip
# What can be included can also be excluded (J8): each key of the address and its opposite.
OPPOSITES = {"workflow": "not_workflow", "agent": "not_agent", "effort": "not_effort"}
EXCLUDED = {"not_workflow": "workflow_slug", "not_agent": "agent_name"}
OPPOSITES |= {out: of for of, out in OPPOSITES.items()}
# Long texts cannot match a key and would only cost the database time.
LONGEST_SEARCH = 60


def filter_status(queryset: QuerySet[Job], _name: str, value: str) -> QuerySet[Job]:
    if value == "active":
        return queryset.filter(status__in=ACTIVE_JOB_STATUSES)
    if value in ACTIVE_JOB_STATUSES:
        # Both conditions: the small index of active jobs holds these few rows.
        return queryset.filter(status__in=ACTIVE_JOB_STATUSES, status=value)
    return queryset.filter(status=value)


class JobFilterSet(filters.FilterSet):
    """Every key of the page's address except the cursor. Each filter alone has an index."""

    base_filters: dict[str, filters.Filter]

    status = filters.ChoiceFilter(choices=STATUS_CHOICES, method=filter_status, label="Status")
    ticket = filters.CharFilter(method="filter_ticket", label="Ticket", max_length=LONGEST_SEARCH)
    workflow = filters.CharFilter(field_name="workflow_slug", label="Workflow")
    agent = filters.CharFilter(field_name="agent_name", label="Agent")
    effort = filters.ChoiceFilter(field_name="effort_level", choices=Effort.choices, label="Effort")
    not_workflow = filters.CharFilter(
        field_name="workflow_slug", label="Not workflow", exclude=True
    )
    not_agent = filters.CharFilter(field_name="agent_name", label="Not agent", exclude=True)
    not_effort = filters.ChoiceFilter(
        field_name="effort_level", choices=Effort.choices, label="Not effort", exclude=True
    )
    project = filters.CharFilter(method="filter_project", label="Project")
    kind = filters.ChoiceFilter(choices=JobKind.choices, label="Kind")
    bulk = filters.NumberFilter(
        field_name="bulk_items__bulk_action_id", label="Bulk action", min_value=1
    )
    stalled = filters.BooleanFilter(method="filter_stalled", label="May be stalled")
    created_from = since("created_at", "Created from")
    created_to = before("created_at", "Created before")
    ended_from = since("completed_at", "Ended from")
    ended_to = before("completed_at", "Ended before")

    class Meta:
        model = Job
        fields: list[str] = []

    def __init__(self, data: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any):
        # Only those the address names: to copy and check a dozen empty ones costs a millisecond.
        asked = {name for name, value in (data or {}).items() if value}
        self.base_filters = {
            name: made for name, made in type(self).base_filters.items() if name in asked
        }
        super().__init__(data, *args, **kwargs)

    def plain(self) -> dict[str, str] | None:
        """For `querysets.plain`, where the address asks for nothing but what that can read."""
        if not set(self.filters) <= {*PLAIN, "ticket"} or not self.form.is_valid():
            return None
        asked = {name: value for name, value in self.form.cleaned_data.items() if value}
        if asked.get("status") == "active":
            return None
        ticket = asked.pop("ticket", "").strip()
        columns = {PLAIN[name]: value for name, value in asked.items()}
        return columns | ticket_filters(ticket) if ticket else columns

    def apply(
        self, queryset: JobQuerySet, *, without: Collection[str] = (), team_id: int | None = None
    ) -> JobQuerySet:
        """Filter another queryset alike. Making a filterset costs a millisecond; this does not.

        Give `team_id` where the queryset is one team's: then exclusions use indexes.
        """
        if not self.form.is_valid():
            return queryset
        for name, value in self.form.cleaned_data.items():
            if name in without:
                continue
            if team_id is not None and name in EXCLUDED and value:
                queryset = queryset.except_value(team_id, EXCLUDED[name], value)
            else:
                queryset = self.filters[name].filter(queryset, value)
        return queryset

    def filter_project(self, queryset: QuerySet[Job], _name: str, value: str) -> QuerySet[Job]:
        """By the project's id, so that its own index is used."""
        project = Project.objects.filter(slug=value).values_list("pk", flat=True).first()
        return queryset.filter(project_id=project or 0)

    def filter_ticket(self, queryset: JobQuerySet, _name: str, value: str) -> QuerySet[Job]:
        return queryset.with_ticket(value)

    def filter_stalled(self, queryset: QuerySet[Job], _name: str, value: bool) -> QuerySet[Job]:  # noqa: FBT001 -- django-filter's signature
        running = queryset.filter(status__in=ACTIVE_JOB_STATUSES, status=JobStatus.RUNNING)
        stalled = Q(pk__in=usual.stalled_ids(running)) | Q(
            status=JobStatus.RUNNING, stalled_at__isnull=False
        )
        return queryset.filter(stalled) if value else queryset.exclude(stalled)

    def active(self) -> list[tuple[str, str, str]]:
        """(parameter, label, value in words) of every filter that is on."""
        if not self.form.is_valid():
            return []
        cleaned = self.form.cleaned_data
        return [
            (name, str(self.filters[name].label), _said(name, cleaned[name]))
            for name in self.filters
            if cleaned.get(name) not in (None, "")
        ]


def _said(name: str, value: Any) -> str:
    if isinstance(value, datetime):
        return f"{timezone.localtime(value):%d %b %Y, %H:%M %Z}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    labels = {
        "status": STATUS_CHOICES, "effort": Effort.choices, "not_effort": Effort.choices,
        "kind": JobKind.choices,
    }  # fmt: skip
    return str(dict(labels.get(name, [])).get(value, value))
