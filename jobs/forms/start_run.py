"""What a run is asked for before it starts."""

from typing import Any

from django import forms
from django.http import QueryDict

from jobs.execution.selection import Selection
from jobs.filtersets.records import runs_of
from jobs.models import Job
from jobs.statuses import Effort
from projects.contacts.models import ImportStatus
from projects.models import ContactImport, Pipeline, Project, SavedFilter

RECENT = 100
CONTACTS = [
    ("all", "All contacts"),
    ("filter", "A saved filter"),
    ("file", "A CSV file"),
    ("failed_of", "Those that failed in an earlier run"),
]
FROM_IMPORT = ("import", "The contacts of an import")
NEEDED = {
    "filter": "Choose a saved filter, or save one on the Contacts page first.",
    "file": "Choose a CSV file.",
    "failed_of": "Choose the run whose failed contacts are to run again.",
    "import": "Choose an import.",
}


class StartRunForm(forms.Form):
    """`file` is only looked at when contacts come from a file; see StartRunView."""

    spinner = forms.ModelChoiceField(Pipeline.objects.none(), empty_label=None)
    contacts = forms.ChoiceField(choices=CONTACTS, widget=forms.RadioSelect, initial="all")
    filter = forms.ModelChoiceField(
        SavedFilter.objects.none(), required=False, empty_label="Choose a filter…"
    )
    file = forms.FileField(
        required=False, widget=forms.ClearableFileInput(attrs={"accept": ".csv,.txt,.tsv"})
    )
    failed_of = forms.ModelChoiceField(
        Job.objects.none(), required=False, label="Run", empty_label="Choose a run…"
    )
    effort = forms.ChoiceField(choices=[("", "The spinner's own"), *Effort.choices], required=False)
    pace_per_minute = forms.IntegerField(
        required=False, min_value=1, max_value=1_000_000, label="Calls a minute, at most",
        help_text="Empty: as fast as the receivers allow. Steps that only compute are not held up.",
    )  # fmt: skip
    failure_limit_percent = forms.IntegerField(
        required=False, min_value=1, max_value=100, label="Stop when failed, %",
        help_text="Of all its records. Empty: it goes on to the end, however many fail.",
    )  # fmt: skip

    def __init__(self, *args: Any, project: Project, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.project = project
        fields: dict[str, Any] = self.fields
        fields["spinner"].queryset = Pipeline.objects.spinners().published().filter(project=project)
        fields["filter"].queryset = project.saved_filters.all()  # type: ignore[attr-defined]
        fields["failed_of"].queryset = _runs_with_failures(project)
        fields["failed_of"].label_from_instance = _run_label
        imports = ContactImport.objects.filter(project=project, status=ImportStatus.COMPLETED)
        fields["import"] = forms.ModelChoiceField(imports, required=False)
        if self.data.get("import") or self.initial.get("import"):
            fields["contacts"].choices = [*CONTACTS, FROM_IMPORT]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind = cleaned.get("contacts", "")
        if kind in NEEDED and kind not in self.errors and not cleaned.get(kind):
            self.add_error(kind, NEEDED[kind])
        return cleaned

    def selection(self) -> Selection:
        cleaned = self.cleaned_data
        kind = cleaned["contacts"]
        if kind == "filter":
            chosen = QueryDict(cleaned["filter"].querystring)
            return Selection(kind="filter", filter=dict(chosen.lists()))
        if kind == "failed_of":
            return Selection(kind="failed_of", job_id=cleaned["failed_of"].pk)
        if kind == "import":
            return Selection(kind="import", import_id=cleaned["import"].pk)
        return Selection(kind="all")

    def options(self) -> dict[str, int]:
        names = ("pace_per_minute", "failure_limit_percent")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data.get(name)}

    def as_params(self) -> dict[str, str]:
        """The choices as an address holds them; a file has become an import by then."""
        params = {}
        for name, value in self.cleaned_data.items():
            if name == "file" or value in (None, ""):
                continue
            params[name] = str(getattr(value, "pk", value))
        return params


def _runs_with_failures(project: Project) -> Any:
    recent = (
        runs_of(project)
        .filter(failed_count__gt=0, records_pruned_at=None)
        .order_by("-pk")
        .values("pk")[:RECENT]
    )
    return Job.objects.filter(pk__in=list(recent.values_list("pk", flat=True)))


def _run_label(run: Job) -> str:
    return f"#{run.pk} {run.label}: {run.failed_count:,} failed"
