"""Imports of contacts and filters that a team keeps (part of projects.models)."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone


class ImportStatus(models.TextChoices):
    """uploaded → queued → checking → writing → completed; failed from any but uploaded, and from
    there to queued when bad rows stopped it and the good ones are wanted after all.

    An upload that is discarded is deleted. `checking` reads the whole file and writes nothing;
    only when it found every row good (or bad rows are skipped) does `writing` begin.
    """

    UPLOADED = "uploaded", "Not started"
    QUEUED = "queued", "Pending"
    CHECKING = "checking", "Checking"
    WRITING = "writing", "Importing"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"


ACTIVE_IMPORT_STATUSES = frozenset(
    {ImportStatus.QUEUED, ImportStatus.CHECKING, ImportStatus.WRITING}
)
ENDED_IMPORT_STATUSES = frozenset({ImportStatus.COMPLETED, ImportStatus.FAILED})


class ContactImport(models.Model):
    """One file of contacts. Claimed by a worker (`fence`, `lease_until`) while it runs.

    `position_rank`, `position_line` say how far its rows are written: they change in the
    transaction that writes them, so that a crash neither loses nor repeats a slice.
    """

    project = models.ForeignKey("projects.Project", models.CASCADE, related_name="imports")
    file_name = models.CharField(max_length=255)
    # Under the uploads folder.
    path = models.CharField(max_length=255, blank=True, editable=False)
    byte_count = models.PositiveBigIntegerField(default=0)
    encoding = models.CharField(max_length=20, blank=True)
    delimiter = models.CharField(max_length=1, blank=True)
    header = models.JSONField(default=list, blank=True)
    # A target for each column, see projects/contacts/mapping.py.
    mapping = models.JSONField(default=list, blank=True)
    skip_bad = models.BooleanField(default=False)
    tag_name = models.CharField(max_length=60, blank=True)
    status = models.CharField(
        max_length=10, choices=ImportStatus.choices, default=ImportStatus.UPLOADED
    )
    error = models.TextField(blank=True)

    row_count = models.PositiveIntegerField(default=0)  # rows read
    bad_count = models.PositiveIntegerField(default=0)
    duplicate_count = models.PositiveIntegerField(default=0)
    to_write_count = models.PositiveIntegerField(default=0)
    created_count = models.PositiveIntegerField(default=0)
    updated_count = models.PositiveIntegerField(default=0)
    unchanged_count = models.PositiveIntegerField(default=0)
    position_rank = models.SmallIntegerField(default=-1, editable=False)
    position_line = models.PositiveIntegerField(default=0, editable=False)

    fence = models.PositiveIntegerField(default=0, editable=False)
    attempt_count = models.PositiveSmallIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_by_name = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["project", "-id"], name="import_project_recent"),
            models.Index(
                fields=["lease_until"],
                condition=Q(status__in=["queued", "checking", "writing"]),
                name="import_active",
            ),
        ]

    def __str__(self) -> str:
        return f"Import #{self.pk} of {self.file_name}"

    def get_absolute_url(self) -> str:
        return reverse("projects:contact_import", args=[self.project.slug, self.pk])

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE_IMPORT_STATUSES

    @property
    def written_count(self) -> int:
        return self.created_count + self.updated_count + self.unchanged_count

    @property
    def badge_status(self) -> str:
        """The status as the portal's badges know it."""
        running = {ImportStatus.CHECKING, ImportStatus.WRITING}
        waiting = {ImportStatus.UPLOADED, ImportStatus.QUEUED}
        return (
            "running"
            if self.status in running
            else "pending"
            if self.status in waiting
            else self.status
        )

    @property
    def result(self) -> dict[str, Any]:
        return {
            "rows": self.row_count,
            "created": self.created_count,
            "updated": self.updated_count,
            "unchanged": self.unchanged_count,
            "duplicates": self.duplicate_count,
            "bad": self.bad_count,
        }


class ContactImportProblem(models.Model):
    """Why a row was not taken. At most importing.MAX_PROBLEMS an import and kind are kept."""

    class Kind(models.TextChoices):
        BAD = "bad", "Error"
        DUPLICATE = "duplicate", "Duplicate"

    contact_import = models.ForeignKey(ContactImport, models.CASCADE, related_name="problems")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.BAD)
    line = models.PositiveIntegerField()
    column = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=300)
    value = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["contact_import", "kind", "line", "id"]
        indexes = [
            models.Index(fields=["contact_import", "kind", "line"], name="import_problem_line")
        ]

    def __str__(self) -> str:
        return f"Line {self.line}: {self.reason}"


class SavedFilter(models.Model):
    """A filter of a project's contacts under a name, for everybody in the team."""

    project = models.ForeignKey("projects.Project", models.CASCADE, related_name="saved_filters")
    name = models.CharField(max_length=80)
    # As in the list's address: "q=ada&tag=3"; read by projects.contacts.filtersets.filtered().
    querystring = models.CharField(max_length=1000)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_by_name = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="saved_filter_name_once")
        ]

    def __str__(self) -> str:
        return self.name
