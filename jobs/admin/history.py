"""What is written once: events, batches, late reports and maintained counts."""

from django.contrib import admin

from accounts.admin_base import ReadOnlyAdmin
from jobs.models import Batch, IntentLog, JobEvent, LateReport, RecordMinute, StepCount, StepMinute
from jobs.models.bulk import BulkAction, BulkActionItem
from jobs.models.records import Callback


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    list_display = ("job_id", "number", "kind", "message", "actor_name", "at")
    search_fields = ("=job__id",)
    search_help_text = "A job's number."
    ordering = ("-pk",)


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = (
        "job_id",
        "number",
        "status",
        "record_count",
        "attempt_count",
        "fence",
        "lease_owner",
        "lease_expires_at",
    )
    list_filter = ("status",)
    search_fields = ("=job__id",)
    search_help_text = "A job's number."
    ordering = ("-pk",)


@admin.register(IntentLog)
class IntentLogAdmin(ReadOnlyAdmin):
    list_display = ("batch_id", "fence", "created_at")
    search_fields = ("=batch__id",)
    search_help_text = "A batch's id."
    ordering = ("-pk",)


@admin.register(LateReport)
class LateReportAdmin(ReadOnlyAdmin):
    list_display = ("job_id", "record_id", "reporter", "reason", "at")
    search_fields = ("=job__id",)
    search_help_text = "A job's number."
    ordering = ("-pk",)


@admin.register(StepCount)
class StepCountAdmin(ReadOnlyAdmin):
    list_display = ("job_id", "step", "reached_count", "passed_count", "failed_count")
    search_fields = ("=job__id",)
    search_help_text = "A job's number."
    ordering = ("-pk",)


@admin.register(RecordMinute)
class RecordMinuteAdmin(ReadOnlyAdmin):
    list_display = ("project_id", "minute", "done_count", "failed_count", "other_count")
    ordering = ("-pk",)


@admin.register(StepMinute)
class StepMinuteAdmin(ReadOnlyAdmin):
    list_display = ("pipeline_id", "step_name", "minute", "count", "total_ms")
    ordering = ("-pk",)


@admin.register(Callback)
class CallbackAdmin(ReadOnlyAdmin):
    list_display = ("record_id", "step", "received_at")
    ordering = ("-pk",)


@admin.register(BulkAction)
class BulkActionAdmin(ReadOnlyAdmin):
    list_display = ("pk", "kind", "status", "actor_name", "acted_count", "skipped_count")
    list_filter = ("kind", "status")
    ordering = ("-pk",)


@admin.register(BulkActionItem)
class BulkActionItemAdmin(ReadOnlyAdmin):
    list_display = ("bulk_action_id", "job_id", "made_job_id", "skipped_reason")
    ordering = ("-pk",)
