from django.contrib import admin

from accounts.permissions import Actor
from jobs.admin.corrections import CorrectionAdmin
from jobs.events import EventKind
from jobs.execution import dispatch
from jobs.models import Batch, JobEvent, Record
from jobs.statuses import FINAL_RECORD_STATUSES, BatchStatus, RecordStatus


@admin.register(Record)
class RecordAdmin(CorrectionAdmin):
    correction_kind = EventKind.RECORD_CORRECTED
    list_display = ("pk", "job_id", "position", "contact_name", "status", "outcome", "cause")
    list_filter = ("status", "is_corrected")
    search_fields = ("=id", "=job__id")
    search_help_text = "A record's id, or a job's number."
    ordering = ("-pk",)
    exclude = ("wait_token_hash",)

    def next_statuses(self, obj: Record) -> list[tuple[str, str]]:
        return [
            (s.value, s.label)
            for s in RecordStatus
            if s in FINAL_RECORD_STATUSES and s != obj.status and s != RecordStatus.UNCERTAIN
        ]

    def is_at_work(self, obj: Record) -> bool:
        return (
            obj.status not in FINAL_RECORD_STATUSES
            and obj.batch_id is not None
            and Batch.objects.filter(pk=obj.batch_id, status=BatchStatus.RUNNING).exists()
        )

    def correct(self, obj: Record, actor: Actor, *, status: str, reason: str) -> None:
        dispatch.correct_record(obj, actor, status=status, reason=reason)

    def corrections(self, obj: Record) -> list[JobEvent]:
        kinds = [EventKind.RECORD_CORRECTED, EventKind.CORRECTION_UNDONE]
        events = JobEvent.objects.filter(job_id=obj.job_id, kind__in=kinds, payload__record=obj.pk)
        return list(events.order_by("-number")[:20])

    def job_id(self, obj: Record) -> int:
        return obj.job_id
