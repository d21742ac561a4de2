from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin_base import CappedPaginator, PlainAdmin, ReadOnlyAdmin
from accounts.models import (
    ApiToken,
    AuditEntry,
    Invitation,
    Membership,
    NoticeRules,
    Retention,
    Team,
    Usage,
    User,
    raise_rights_version,
)


class NewUserForm(AdminUserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")


class UserForm(UserChangeForm):
    class Meta:
        model = User
        fields = "__all__"


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """A deleted user's name stays on what they did: every actor is also kept as text."""

    add_form = NewUserForm
    form = UserForm
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ("email",)
    list_display = ("email", "name", "is_staff", "is_active", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email__istartswith", "name__istartswith")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Person", {"fields": ("name", "time_zone")}),
        (
            "Rights in this admin",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),
    )


class MembershipInline(admin.TabularInline):
    model = Membership
    raw_id_fields = ("user",)
    extra = 0


@admin.register(Team)
class TeamAdmin(PlainAdmin):
    list_display = ("name", "slug", "monthly_job_limit", "monthly_record_limit", "created_at")
    search_fields = ("name__istartswith", "slug__istartswith")
    prepopulated_fields = {"slug": ["name"]}
    inlines = (MembershipInline,)

    def save_related(
        self,
        request: HttpRequest,
        form: object,
        formsets: object,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        super().save_related(request, form, formsets, change)
        raise_rights_version(form.instance.pk)  # type: ignore[attr-defined]


@admin.register(Membership)
class MembershipAdmin(PlainAdmin):
    list_display = ("user", "team", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "team")
    search_fields = ("user__email__istartswith", "team__slug__istartswith")

    def save_model(
        self,
        request: HttpRequest,
        obj: Membership,
        form: object,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        super().save_model(request, obj, form, change)
        raise_rights_version(obj.team_id)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        team_id = obj.team_id
        super().delete_model(request, obj)
        raise_rights_version(team_id)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        team_ids = set(queryset.values_list("team_id", flat=True))
        super().delete_queryset(request, queryset)
        for team_id in team_ids:
            raise_rights_version(team_id)


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ("email", "team", "role", "created_at", "expires_at", "accepted_at")
    list_filter = ("role",)
    list_select_related = ("team",)
    search_fields = ("email__istartswith",)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Tokens are made in the team's settings, where their text is shown once; here they can be
    looked at and revoked."""

    list_display = ("name", "prefix", "team", "role", "created_at", "expires_at", "revoked_at")
    list_filter = ("role",)
    list_select_related = ("team",)
    search_fields = ("name__istartswith", "prefix")
    exclude = ("secret_hash",)
    actions = ("revoke",)

    @admin.action(description="Revoke selected tokens")
    def revoke(self, request: HttpRequest, queryset: object) -> None:
        from django.utils import timezone

        count = queryset.filter(revoked_at=None).update(  # type: ignore[attr-defined]
            revoked_at=timezone.now()
        )
        self.message_user(request, f"{count} revoked.")


@admin.register(Usage)
class UsageAdmin(PlainAdmin):
    list_display = ("team", "month", "job_count", "record_count")
    list_select_related = ("team",)
    search_fields = ("team__slug__istartswith",)
    date_hierarchy = None


@admin.register(Retention)
class RetentionAdmin(ReadOnlyAdmin):
    list_display = ("team", "round_at", "is_behind", "pruned_at", "record_count")
    ordering = ("team",)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "team", "actor_name", "action", "subject")
    list_select_related = ("team",)
    ordering = ("-pk",)


@admin.register(NoticeRules)
class NoticeRulesAdmin(ReadOnlyAdmin):
    """A person's own: they change them under Profile, Notices. The Slack address is a secret."""

    list_display = ("user", "in_app", "email", "slack", "slack_host")
    list_select_related = ("user",)
    search_fields = ("user__email__istartswith",)
    ordering = ("user",)
