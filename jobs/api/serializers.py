"""What the API sends and takes. Times are ISO 8601 with their offset, lengths seconds."""

from typing import Any

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from jobs import privacy
from jobs.failures import explain
from jobs.models import Job, JobEvent, Record
from jobs.models.jobs import JobKind
from jobs.queueing import pending_reason
from jobs.reporting import SAID, said_status
from jobs.statuses import Effort
from projects.models import Contact, Pipeline, Project


def page_of(serializer: type[serializers.BaseSerializer[Any]]) -> Any:
    """How a list is answered: `next` is the next page's `after`, null on the last."""
    return inline_serializer(
        serializer.__name__.replace("Serializer", "Page"),
        {
            "count": serializers.IntegerField(),
            "count_is_capped": serializers.BooleanField(),
            "next": serializers.CharField(allow_null=True),
            "results": serializer(many=True),
        },
    )


class ProjectSerializer(serializers.ModelSerializer[Project]):
    class Meta:
        model = Project
        fields = ["id", "slug", "name"]


class PipelineSerializer(serializers.ModelSerializer[Pipeline]):
    project = serializers.CharField(source="project.slug", default="", read_only=True)
    version = serializers.IntegerField(
        source="current_version.number", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = Pipeline
        fields = ["id", "slug", "name", "kind", "description", "project", "version"]


class CountsSerializer(serializers.Serializer[Any]):
    """done + failed + skipped + cancelled + uncertain + remaining = total, at every moment."""

    total = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    skipped = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    uncertain = serializers.IntegerField()
    waiting = serializers.IntegerField()
    remaining = serializers.IntegerField()


class JobSerializer(serializers.ModelSerializer[Job]):
    """A row of the list; `version` rises with every change of the job."""

    project = serializers.SerializerMethodField()
    workflow = serializers.CharField(source="workflow_slug")
    agent = serializers.CharField(source="agent_name")
    cancel_requested = serializers.BooleanField(source="is_cancelling")
    counts = CountsSerializer()
    duration_seconds = serializers.FloatField(allow_null=True)
    version = serializers.IntegerField(source="event_count")

    class Meta:
        model = Job
        fields = [
            "id", "kind", "project", "name", "label", "workflow", "status", "cancel_requested",
            "effort_level", "agent", "ticket_key", "current_step", "step_count", "counts",
            "created_at", "started_at", "completed_at", "duration_seconds", "scheduled_for",
            "version",
        ]  # fmt: skip

    def get_project(self, job: Job) -> str:
        """The project's slug."""
        slugs: dict[int, str] = self.context.get("slugs", {})
        return slugs.get(job.project_id) or job.project.slug


class FailureSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    step = serializers.CharField()
    message = serializers.CharField()
    explanation = serializers.CharField()
    action = serializers.CharField()


class JobDetailSerializer(JobSerializer):
    """Private values of `input` are masked, as on the page."""

    pipeline_id = serializers.CharField(source="pipeline_id_text")
    input = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    resend_of = serializers.IntegerField(source="resend_of_id", allow_null=True)
    resent_as = serializers.SerializerMethodField()
    pending_reason = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            *JobSerializer.Meta.fields, "pipeline_id", "workflow_execution_id", "input", "output",
            "error", "ticket_url", "steps", "external_id", "source", "created_by_name",
            "resend_of", "resent_as", "is_corrected", "slack_channel_id", "slack_thread_ts",
            "pending_reason", "journeys_pruned_at", "events_pruned_at", "records_pruned_at",
        ]  # fmt: skip

    @extend_schema_field(serializers.DictField())
    def get_pending_reason(self, job: Job) -> str:
        """Why it has not started; "" unless it is pending."""
        return pending_reason(job)

    def get_input(self, job: Job) -> Any:
        if not isinstance(job.input, dict):
            return job.input
        return {key: privacy.masked(job, key, value) for key, value in job.input.items()}

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        if not job.error and not job.error_type:
            return None
        failure = explain(job.error_type)
        return {
            "type": job.error_type or "unknown", "step": job.error_step, "message": job.error,
            "explanation": failure.explanation, "action": failure.action,
        }  # fmt: skip

    def get_resent_as(self, job: Job) -> int | None:
        return Job.objects.filter(resend_of=job).values_list("pk", flat=True).first()


class EventSerializer(serializers.ModelSerializer[JobEvent]):
    actor = serializers.CharField(source="actor_name")

    class Meta:
        model = JobEvent
        fields = ["number", "kind", "message", "payload", "actor", "at"]


class RecordSerializer(serializers.ModelSerializer[Record]):
    class Meta:
        model = Record
        fields = [
            "id", "job_id", "contact_id", "contact_name", "contact_email", "position", "status",
            "outcome", "outcome_metadata", "error", "error_type", "error_step", "cause",
            "started_at", "completed_at",
        ]  # fmt: skip


class ContactSerializer(serializers.ModelSerializer[Contact]):
    class Meta:
        model = Contact
        fields = [
            "id", "external_id", "name", "email", "phone", "attributes", "created_at", "updated_at",
        ]  # fmt: skip


# What is sent in -----------------------------------------------------------------------------


class StartRunSerializer(serializers.Serializer[Any]):
    """Which contacts: `all`, a `filter` of the contacts page, `ids`, those that `failed_of` a run
    failed in, or those of an `import`."""

    contacts = serializers.ChoiceField(
        choices=["all", "filter", "ids", "failed_of", "import"], default="all"
    )
    filter = serializers.DictField(default=dict)
    ids = serializers.ListField(child=serializers.IntegerField(), default=list, max_length=10_000)
    job = serializers.IntegerField(default=None, allow_null=True, help_text="for failed_of")
    import_id = serializers.IntegerField(default=None, allow_null=True, help_text="for import")
    effort = serializers.ChoiceField(choices=["", *Effort.values], default="")
    pace_per_minute = serializers.IntegerField(default=None, allow_null=True, min_value=1)
    failure_limit_percent = serializers.IntegerField(
        default=None, allow_null=True, min_value=1, max_value=100
    )
    concurrency = serializers.IntegerField(default=None, allow_null=True, min_value=1)
    scheduled_for = serializers.DateTimeField(default=None, allow_null=True)
    wait_for_plan = serializers.BooleanField(
        default=False, help_text="pending until the month's plan has room, where it has none"
    )


class DispatchSerializer(serializers.Serializer[Any]):
    ticket_url = serializers.URLField(default="", allow_blank=True, max_length=1_000)
    hint = serializers.CharField(default="", allow_blank=True, max_length=5_000)
    input = serializers.DictField(default=dict)
    agent = serializers.CharField(default="", allow_blank=True)
    effort = serializers.ChoiceField(choices=["", *Effort.values], default="")


class ResendSerializer(serializers.Serializer[Any]):
    effort = serializers.ChoiceField(choices=["", *Effort.values], default=None, allow_null=True)


class ReportSerializer(serializers.Serializer[Any]):
    """A build or a server run that another program begins. `project` is a slug or an id."""

    project = serializers.CharField()
    status = serializers.ChoiceField(choices=["pending", "running"], default="pending")
    label = serializers.CharField(  # type: ignore[assignment]  # hides Field.label, as it may
        default="", allow_blank=True, max_length=200
    )
    external_id = serializers.CharField(default="", allow_blank=True, max_length=120)
    agent = serializers.CharField(default="", allow_blank=True, max_length=120)
    input = serializers.DictField(default=dict)


class TellSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=sorted(SAID))
    output = serializers.CharField(default="", allow_blank=True)
    error = serializers.CharField(default="", allow_blank=True)
    error_type = serializers.CharField(default="", allow_blank=True, max_length=40)


class ReportedSerializer(serializers.ModelSerializer[Job]):
    """A build or run as programs speak of it: pending, running, stopping, done, failed, cancelled."""

    key = serializers.SerializerMethodField()
    project = serializers.CharField(source="project.slug")
    project_name = serializers.CharField(source="project.name")
    status = serializers.SerializerMethodField()
    cancel_requested = serializers.BooleanField(source="is_cancelling")
    version = serializers.IntegerField(source="event_count")

    class Meta:
        model = Job
        fields = [
            "id", "key", "project_id", "project", "project_name", "label", "status",
            "cancel_requested", "external_id", "output", "error", "error_type", "created_at",
            "started_at", "completed_at", "version",
        ]  # fmt: skip

    def get_key(self, job: Job) -> str:
        kind = job.kind if job.kind in {JobKind.BUILD, JobKind.RUN} else "job"
        return f"{kind}:{job.pk}"

    def get_status(self, job: Job) -> str:
        return said_status(job.status, is_cancelling=job.is_cancelling)


class BuildsSerializer(serializers.Serializer[Any]):
    builds = ReportedSerializer(many=True)


class RunsSerializer(serializers.Serializer[Any]):
    runs = ReportedSerializer(many=True)


class ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()
