"""What a team works on: projects, their contacts, and the pipelines that run over them."""

from typing import Any, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: object) -> Self:
        if not getattr(user, "is_authenticated", False) or not getattr(user, "is_active", False):
            return self.none()
        return self.filter(team__memberships__user=user)


class Project(models.Model):
    """Slugs are unique over all teams, since addresses hold nothing else."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="projects")
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # A paused project's pending work is not claimed; running batches finish.
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    paused_by_name = models.CharField(max_length=150, blank=True)
    pause_reason = models.CharField(max_length=300, blank=True)
    contact_count = models.PositiveBigIntegerField(default=0, editable=False)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("jobs:runs", args=[self.slug])


class Tag(models.Model):
    project = models.ForeignKey(Project, models.CASCADE, related_name="tags")
    name = models.CharField(max_length=60)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="tag_once")]

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    """One person or thing a spinner runs over.

    Identity within a project: `external_id` where it is given, else `email` (lower case), else
    `phone`. `search_text` is the lower-case text the list searches (name, e-mail, phone, external
    id). `last_import` is the import whose file last named this contact, changed or not.
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="contacts")
    external_id = models.CharField(max_length=120, blank=True)
    name = models.CharField(max_length=300, blank=True)
    email = models.CharField(max_length=254, blank=True)
    phone = models.CharField(max_length=60, blank=True)
    attributes = models.JSONField(default=dict, blank=True)
    search_text = models.TextField(blank=True, editable=False)
    tags = models.ManyToManyField(Tag, blank=True, related_name="contacts")
    last_import = models.ForeignKey(
        "projects.ContactImport",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="contacts",
        db_index=False,
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "external_id"],
                condition=~Q(external_id=""),
                name="contact_external_id_once",
            ),
            models.UniqueConstraint(
                fields=["project", "email"],
                condition=Q(external_id="") & ~Q(email=""),
                name="contact_email_once_without_external_id",
            ),
            models.UniqueConstraint(
                fields=["project", "phone"],
                condition=Q(external_id="", email="") & ~Q(phone=""),
                name="contact_phone_once_without_more",
            ),
        ]
        indexes = [
            models.Index(fields=["project", "id"], name="contact_project_id"),
            models.Index(fields=["project", "email"], name="contact_project_email"),
            models.Index(
                fields=["last_import", "id"],
                condition=Q(last_import__isnull=False),
                name="contact_last_import",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.email or self.external_id or f"Contact {self.pk}"

    def as_template_values(self) -> dict[str, Any]:
        """What a step's template sees as `contact`: plain values, never objects."""
        return {
            **self.attributes,
            "id": self.pk,
            "external_id": self.external_id,
            "name": self.name,
            "first_name": self.name.split(" ")[0] if self.name else "",
            "email": self.email,
            "phone": self.phone,
        }


class PipelineKind(models.TextChoices):
    SPINNER = "spinner", "Spinner"
    WORKFLOW = "workflow", "Workflow"


class PipelineQuerySet(models.QuerySet["Pipeline"]):
    def spinners(self) -> Self:
        return self.filter(kind=PipelineKind.SPINNER)

    def workflows(self) -> Self:
        return self.filter(kind=PipelineKind.WORKFLOW)

    def published(self) -> Self:
        return self.filter(archived_at=None).exclude(current_version=None)

    def visible_to(self, user: object) -> Self:
        if not getattr(user, "is_authenticated", False) or not getattr(user, "is_active", False):
            return self.none()
        return self.filter(team__memberships__user=user)


class Pipeline(models.Model):
    """Named steps in order. A spinner belongs to a project; a workflow to the whole team.

    `draft` is what the editor holds, `{"steps": [...]}` (docs/steps.md); `draft_revision` rises
    with every save, so that two editors cannot overwrite each other unnoticed.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="pipelines")
    project = models.ForeignKey(
        Project, models.CASCADE, null=True, blank=True, related_name="pipelines"
    )
    kind = models.CharField(max_length=10, choices=PipelineKind.choices)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=64)
    description = models.TextField(blank=True)
    # Which job type of the catalogue its jobs are (a slug of jobs.JobType); spinners: "spinner".
    job_type_slug = models.SlugField(max_length=64, blank=True)
    default_effort = models.CharField(max_length=10, blank=True)
    draft = models.JSONField(default=dict, blank=True)
    draft_revision = models.PositiveIntegerField(default=1)
    draft_updated_at = models.DateTimeField(default=timezone.now, editable=False)
    draft_updated_by_name = models.CharField(max_length=150, blank=True)
    current_version = models.ForeignKey(
        "PipelineVersion", models.PROTECT, null=True, blank=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = PipelineQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "slug"],
                condition=Q(kind="spinner"),
                name="spinner_slug_once_a_project",
            ),
            models.UniqueConstraint(
                fields=["team", "slug"],
                condition=Q(kind="workflow"),
                name="workflow_slug_once_a_team",
            ),
            models.CheckConstraint(
                condition=Q(kind="workflow", project=None)
                | Q(kind="spinner", project__isnull=False),
                name="pipeline_spinner_has_project",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return self.url_of()

    def url_of(self, page: str = "", *extra: object) -> str:
        """The address of one of its pages: edit, history, version, … (projects/urls.py)."""
        owner = self.project or self.team
        name = f"projects:{self.kind}_{page}" if page else f"projects:{self.kind}"
        return reverse(name, args=[owner.slug, self.slug, *extra])

    @property
    def is_spinner(self) -> bool:
        return self.kind == PipelineKind.SPINNER

    @property
    def draft_differs(self) -> bool:
        """Whether there is something to publish. Reads `current_version`: select it with the row."""
        return self.current_version is None or self.current_version.definition != self.draft


class VersionIsFixed(Exception):
    """A published version was about to be changed; publish a new one instead."""


class PipelineVersionQuerySet(models.QuerySet["PipelineVersion"]):
    def update(self, **fields: Any) -> int:
        if fields.keys() & PipelineVersion.FIXED_FIELDS:
            raise VersionIsFixed("A published version never changes. Publish a new one.")
        return super().update(**fields)


class PipelineVersion(models.Model):
    """What was published: never changed afterwards. A job keeps the version it began with."""

    FIXED_FIELDS = frozenset({"pipeline", "pipeline_id", "number", "definition", "published_at"})

    pipeline = models.ForeignKey(Pipeline, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    note = models.CharField(max_length=300, blank=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    published_by_name = models.CharField(max_length=150, blank=True)
    published_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PipelineVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "number"], name="version_number_once")
        ]

    def __str__(self) -> str:
        return f"{self.pipeline} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise VersionIsFixed(f"{self} is published and never changes. Publish a new version.")
        super().save(*args, **kwargs)

    @property
    def steps(self) -> list[dict[str, Any]]:
        return self.definition.get("steps", [])


secret_name_validator = RegexValidator(
    r"^[A-Za-z][A-Za-z0-9_]{0,63}$",
    "A secret's name begins with a letter and holds letters, digits and _ only.",
)


class Secret(models.Model):
    """A value steps use by name. Written once, encrypted at rest, never shown again."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=64, validators=[secret_name_validator])
    ciphertext = models.BinaryField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    updated_by_name = models.CharField(max_length=150, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="secret_name_once")]

    def __str__(self) -> str:
        return self.name


from projects.contacts.models import (  # noqa: E402  its models name those above
    ContactImport,
    ContactImportProblem,
    SavedFilter,
)

__all__ = [
    "Contact",
    "ContactImport",
    "ContactImportProblem",
    "Pipeline",
    "PipelineKind",
    "PipelineQuerySet",
    "PipelineVersion",
    "Project",
    "ProjectQuerySet",
    "SavedFilter",
    "Secret",
    "Tag",
    "secret_name_validator",
]
