"""Who follows what, what they were told and what became of it: to look at."""

from django.contrib import admin

from accounts.admin_base import ReadOnlyAdmin
from jobs.models import Delivery, Follow, Notice


@admin.register(Follow)
class FollowAdmin(ReadOnlyAdmin):
    list_display = ("job_id", "user_id", "created_at")
    search_fields = ("=job__id", "=user__email")
    search_help_text = "A job's number, or a whole e-mail address."
    ordering = ("-pk",)


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    list_display = ("job_id", "user_id", "status", "created_at", "read_at")
    search_fields = ("=job__id", "=user__email")
    search_help_text = "A job's number, or a whole e-mail address."
    ordering = ("-pk",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("notice_id", "user_id", "channel", "status", "attempt_count", "due_at", "error")
    list_filter = ("channel", "status")
    search_fields = ("=notice__job__id", "=user__email")
    search_help_text = "A job's number, or a whole e-mail address."
    ordering = ("-pk",)
