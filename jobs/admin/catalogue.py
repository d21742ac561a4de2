from django.contrib import admin

from accounts.admin_base import PlainAdmin, ReadOnlyAdmin
from jobs.models import Agent, DurationRange, JobType, Worker


@admin.register(JobType)
class JobTypeAdmin(PlainAdmin):
    list_display = (
        "label",
        "mode",
        "agent_label",
        "trigger",
        "typical_min_seconds",
        "typical_max_seconds",
    )
    list_filter = ("mode",)
    search_fields = ("label", "slug")


@admin.register(Agent)
class AgentAdmin(PlainAdmin):
    list_display = ("name", "team", "kind", "capacity", "is_draining", "last_heartbeat_at")
    list_filter = ("kind", "is_draining")
    list_select_related = ("team",)
    search_fields = ("name__istartswith",)
    readonly_fields = ("last_heartbeat_at",)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "host", "pid", "started_at", "last_heartbeat_at", "doing")
    search_fields = ("name__istartswith",)


@admin.register(DurationRange)
class DurationRangeAdmin(ReadOnlyAdmin):
    list_display = ("pipeline", "effort_level", "sample_count", "low_seconds", "high_seconds")
    list_select_related = ("pipeline",)
