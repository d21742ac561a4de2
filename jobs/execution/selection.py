"""Which contacts a run is for; kept on the job as JSON, turned into a query when needed."""

from dataclasses import dataclass, field
from typing import Any, Literal

from django.db.models import QuerySet
from django.http import QueryDict

from jobs.models import Job
from jobs.statuses import RecordStatus
from projects.contacts.filtersets import filtered
from projects.models import Contact, ContactImport, Project

SelectionKind = Literal["all", "filter", "ids", "failed_of", "import"]


@dataclass(slots=True, frozen=True)
class Selection:
    """`filter` holds the contact list's filters by name, {"q": "smith", "tag": [3, 4]}
    (projects/contacts/filtersets.py); `ids` contact ids; `failed_of` the job whose failed contacts run again; `import` an import's id.
    """

    kind: SelectionKind = "all"
    filter: dict[str, Any] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    job_id: int | None = None
    import_id: int | None = None

    def contacts(self, project: Project) -> QuerySet[Contact]:
        contacts = Contact.objects.filter(project=project)
        if self.kind == "all":
            return contacts
        if self.kind == "ids":
            return contacts.filter(pk__in=self.ids)
        if self.kind == "failed_of":
            # Scoped to the project once more: a foreign job id selects nothing.
            failed = Job.objects.filter(pk=self.job_id or 0, project=project)
            return contacts.filter(
                records__job__in=failed, records__status=RecordStatus.FAILED
            ).distinct()
        if self.kind == "import":
            return contacts.filter(last_import_id=self.import_id)
        return filtered(project, self.querystring)

    @property
    def querystring(self) -> str:
        """`filter` as the contact list's address has it."""
        query = QueryDict(mutable=True)
        for name, value in self.filter.items():
            query.setlist(name, [str(v) for v in (value if isinstance(value, list) else [value])])
        return query.urlencode()

    def count(self, project: Project) -> int:
        return self.contacts(project).count()

    def as_json(self) -> dict[str, Any]:
        full = {
            "kind": self.kind, "filter": self.filter, "ids": self.ids,
            "job_id": self.job_id, "import_id": self.import_id,
        }  # fmt: skip
        return {key: value for key, value in full.items() if value}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Selection":
        return cls(**stored)

    def describe(self) -> str:
        """In words, for the job's input: "all contacts", "3 chosen contacts"…"""
        if self.kind == "ids":
            return f"{len(self.ids):,} chosen contact{'s' if len(self.ids) != 1 else ''}"
        if self.kind == "failed_of":
            return f"failed contacts of job #{self.job_id}"
        if self.kind == "import":
            found = ContactImport.objects.filter(pk=self.import_id or 0).values_list(
                "file_name", flat=True
            )
            return f"contacts of {next(iter(found), '') or f'import #{self.import_id}'}"
        if self.kind == "filter":
            shown = {key: value for key, value in self.filter.items() if value}
            return "contacts with " + ", ".join(f"{k}: {v}" for k, v in shown.items())
        return "all contacts"
