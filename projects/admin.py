from django.contrib import admin

from accounts.admin_base import PlainAdmin, ReadOnlyAdmin
from projects.contacts.models import ContactImport, ContactImportProblem, SavedFilter
from projects.models import Contact, Pipeline, PipelineVersion, Project, Secret, Tag


@admin.register(Project)
class ProjectAdmin(PlainAdmin):
    list_display = ("name", "slug", "team", "contact_count", "paused_at")
    list_select_related = ("team",)
    search_fields = ("name__istartswith", "slug__istartswith")
    readonly_fields = ("contact_count", "paused_at", "paused_by", "paused_by_name", "pause_reason")


@admin.register(Tag)
class TagAdmin(PlainAdmin):
    list_display = ("name", "project")
    list_select_related = ("project",)
    search_fields = ("name__istartswith",)


@admin.register(Contact)
class ContactAdmin(PlainAdmin):
    """Ordered by id, the primary key, so that a page costs the same among a million."""

    list_display = ("__str__", "external_id", "email", "phone", "project", "updated_at")
    list_select_related = ("project",)
    search_fields = ("=external_id", "email__startswith")
    search_help_text = "An external id, or how an e-mail address begins."
    ordering = ("-pk",)
    filter_horizontal = ()

    def get_raw_id_fields(self) -> list[str]:
        return [*super().get_raw_id_fields(), "tags"]


@admin.register(Pipeline)
class PipelineAdmin(PlainAdmin):
    """Drafts are edited in the portal, where they are checked; names and archives here."""

    list_display = ("name", "kind", "team", "project", "current_version", "archived_at")
    list_filter = ("kind",)
    list_select_related = ("team", "project", "current_version__pipeline")
    search_fields = ("name__istartswith", "slug__istartswith")
    readonly_fields = (
        "draft",
        "draft_revision",
        "draft_updated_at",
        "draft_updated_by_name",
        "current_version",
    )

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(PipelineVersion)
class PipelineVersionAdmin(ReadOnlyAdmin):
    list_display = ("pipeline", "number", "published_by_name", "published_at")
    list_select_related = ("pipeline",)
    search_fields = ("pipeline__slug__istartswith",)
    ordering = ("-pk",)


@admin.register(Secret)
class SecretAdmin(ReadOnlyAdmin):
    """Names only: a secret's value is never shown again, here neither."""

    list_display = ("name", "team", "updated_by_name", "updated_at")
    list_select_related = ("team",)
    search_fields = ("name__istartswith",)
    exclude = ("ciphertext",)

    def has_delete_permission(self, request: object, obj: object = None) -> bool:
        return True


@admin.register(SavedFilter)
class SavedFilterAdmin(PlainAdmin):
    list_display = ("name", "project")
    list_select_related = ("project",)
    search_fields = ("name__istartswith",)


@admin.register(ContactImport)
class ContactImportAdmin(ReadOnlyAdmin):
    list_display = ("pk", "file_name", "project", "status", "row_count", "bad_count", "created_at")
    list_filter = ("status",)
    list_select_related = ("project",)
    ordering = ("-pk",)


@admin.register(ContactImportProblem)
class ContactImportProblemAdmin(ReadOnlyAdmin):
    list_display = ("contact_import_id", "line", "column", "reason")
    ordering = ("-pk",)
