"""What the records of one run, or of a whole project, can be filtered by."""

from typing import Any

import django_filters as filters
from django.db.models import Q, QuerySet

from jobs.filtersets.times import before, since
from jobs.models import Job, Record
from jobs.models.jobs import JobKind
from jobs.querysets.records import FUNNEL_STATUSES
from jobs.statuses import OPEN_RECORD_STATUSES, RecordStatus
from projects.models import Contact, Pipeline, Project

CONTACT_MATCHES = 200
OPEN_CHOICES = [("queued", "To do"), ("unprocessed", "Unprocessed")]
PLACES = ["reached", "passed", "failed", "waiting", "uncertain", "skipped"]


STATUS_SETS: dict[str, tuple[str, ...]] = {
    "unprocessed": tuple(OPEN_RECORD_STATUSES),
    "queued": (RecordStatus.PENDING, RecordStatus.RUNNING),
}


def branches_of(data: Any) -> list[Q]:
    """A set of statuses as one branch each, so that a page is read by the statuses' index."""
    return [Q(status=status) for status in STATUS_SETS.get(data.get("status", ""), ())]


def filter_status(queryset: QuerySet[Record], _name: str, value: str) -> QuerySet[Record]:
    if value in STATUS_SETS:
        return queryset.filter(status__in=STATUS_SETS[value])
    return queryset.filter(status=value)


class RunRecordFilterSet(filters.FilterSet):
    """The records of one run: by status, or by their place in the funnel."""

    status = filters.ChoiceFilter(
        choices=[*RecordStatus.choices, *OPEN_CHOICES], method=filter_status
    )
    step = filters.NumberFilter(method="filter_step", min_value=1, max_value=1_000)
    at = filters.ChoiceFilter(choices=[(p, p) for p in PLACES], method="pass_over")

    class Meta:
        model = Record
        fields: list[str] = []

    def filter_step(self, queryset: QuerySet[Record], _name: str, value: Any) -> QuerySet[Record]:
        place = self.data.get("at", "")
        known = place if place in PLACES else next(iter(FUNNEL_STATUSES))
        return queryset.at_step(int(value), known)  # type: ignore[attr-defined,no-any-return]

    def pass_over(self, queryset: QuerySet[Record], _name: str, _value: str) -> QuerySet[Record]:
        return queryset  # read together with `step`


class RecordFilterSet(filters.FilterSet):
    """The records of a project. Every filter alone has an index behind it (docs/records.md)."""

    spinner = filters.ModelChoiceFilter(
        field_name="pipeline", queryset=Pipeline.objects.none(), empty_label="All spinners",
        label="Spinner",
    )  # fmt: skip
    run = filters.NumberFilter(field_name="job_id", label="Run", min_value=1)
    status = filters.ChoiceFilter(
        choices=[*RecordStatus.choices, *OPEN_CHOICES], method=filter_status,
        empty_label="Any status", label="Status",
    )  # fmt: skip
    outcome = filters.CharFilter(lookup_expr="exact", label="Outcome")
    cause = filters.CharFilter(method="filter_cause", label="Cause")
    contact = filters.CharFilter(method="filter_contact", label="Contact")
    step = filters.NumberFilter(
        field_name="error_step", label="Stopped at step", min_value=1, max_value=1_000
    )
    ended_from = since("completed_at", "Ended from")
    ended_to = before("completed_at", "Ended before")

    class Meta:
        model = Record
        fields: list[str] = []

    def __init__(self, *args: Any, project: Project, **kwargs: Any):
        self.project = project
        super().__init__(*args, **kwargs)
        self.filters["spinner"].queryset = Pipeline.objects.spinners().filter(project=project)

    @property
    def order(self) -> list[str]:
        """By the filter's own index: a time filter reads by time, one run by position."""
        cleaned = self.form.cleaned_data if self.form.is_valid() else {}
        if cleaned.get("ended_from") or cleaned.get("ended_to"):
            return ["-completed_at", "-id"]
        return ["position"] if cleaned.get("run") else ["-id"]

    @property
    def branches(self) -> list[Q]:
        """As branches_of; a spinner's records are read status by status too, since its index
        begins with both (one index for the spinner alone and for its failed ones).
        """
        cleaned = self.form.cleaned_data if self.form.is_valid() else {}
        if cleaned.get("spinner") and not cleaned.get("status") and self.order == ["-id"]:
            return [Q(status=status) for status in RecordStatus.values]
        return branches_of(self.data)

    def active(self) -> list[tuple[str, str, str]]:
        """(parameter, label, value) of every filter that is on."""
        if not self.form.is_valid():
            return []
        return [
            (name, str(self.filters[name].label), _said(self.form.cleaned_data[name]))
            for name in self.filters
            if self.form.cleaned_data.get(name) not in (None, "")
        ]

    def filter_cause(self, queryset: QuerySet[Record], _name: str, value: str) -> QuerySet[Record]:
        return queryset.filter(status=RecordStatus.FAILED, cause=value)

    def filter_contact(
        self, queryset: QuerySet[Record], _name: str, value: str
    ) -> QuerySet[Record]:
        """By e-mail or external id exactly, else by words of the contact's search text."""
        contacts = Contact.objects.filter(project=self.project)
        text = value.strip()
        exact = contacts.filter(Q(email=text.lower()) | Q(external_id=text))
        ids = list(exact.values_list("pk", flat=True)[:CONTACT_MATCHES])
        if not ids:
            for word in text.lower().split()[:5]:
                contacts = contacts.filter(search_text__contains=word)
            ids = list(contacts.values_list("pk", flat=True)[:CONTACT_MATCHES])
        return queryset.filter(contact_id__in=ids)


def _said(value: Any) -> str:
    labels = {**dict(RecordStatus.choices), **dict(OPEN_CHOICES)}
    if isinstance(value, str):
        return labels.get(value, value)
    return f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "hour") else str(value)


def runs_of(project: Project) -> QuerySet[Job]:
    return Job.objects.filter(project=project, kind=JobKind.SPINNER)
