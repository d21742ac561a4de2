"""What a remote agent calls: claim, heartbeat, a job's steps and its end (docs/api.md)."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Right, require
from jobs.api.access import ApiView
from jobs.api.serializers import ErrorSerializer
from jobs.execution import remote
from jobs.models import Agent, Job


class HeldJobSerializer(serializers.Serializer[Any]):
    """A job and the fence under which the agent holds it."""

    job = serializers.IntegerField()
    fence = serializers.IntegerField()


class HeartbeatSerializer(serializers.Serializer[Any]):
    version = serializers.CharField(default="", allow_blank=True, max_length=60)
    jobs = HeldJobSerializer(many=True, default=list)


class KeptJobSerializer(HeldJobSerializer):
    cancel_requested = serializers.BooleanField()


class BeatSerializer(serializers.Serializer[Any]):
    jobs = KeptJobSerializer(many=True)
    lost = serializers.ListField(child=serializers.IntegerField())


class ClaimedSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    fence = serializers.IntegerField()
    lease_seconds = serializers.IntegerField()
    from_step = serializers.IntegerField(help_text="1, or where a retry goes on.")
    workflow = serializers.CharField()
    version = serializers.IntegerField()
    effort = serializers.CharField(allow_blank=True)
    ticket_url = serializers.CharField(allow_blank=True)
    ticket_key = serializers.CharField(allow_blank=True)
    input = serializers.DictField()
    steps = serializers.ListField(child=serializers.DictField())


class StepReportSerializer(serializers.Serializer[Any]):
    fence = serializers.IntegerField(min_value=0)
    step = serializers.IntegerField(min_value=1)
    status = serializers.ChoiceField(choices=["started", "completed", "failed"])
    ms = serializers.FloatField(default=0, min_value=0)
    attempts = serializers.IntegerField(default=1, min_value=1, max_value=10_000)
    output = serializers.DictField(default=dict)
    error = serializers.CharField(default="", allow_blank=True, max_length=5_000)


class FinishSerializer(serializers.Serializer[Any]):
    fence = serializers.IntegerField(min_value=0)
    status = serializers.ChoiceField(choices=["done", "failed", "cancelled"])
    output = serializers.CharField(default="", allow_blank=True, max_length=100_000)
    error = serializers.CharField(default="", allow_blank=True, max_length=5_000)
    error_type = serializers.CharField(default="", allow_blank=True, max_length=40)
    step = serializers.IntegerField(default=0, min_value=0)


class HeldSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    status = serializers.CharField()
    cancel_requested = serializers.BooleanField()


class AgentView(ApiView):
    """One agent of the caller's teams; working for it needs the role Operator."""

    def agent(self, pk: int) -> Agent:
        found = Agent.objects.filter(pk=pk, team_id__in=self.roles).first()
        if found is None:
            raise Http404("Not found.")
        require(self.actor, found.team_id, Right.OPERATE)
        return found

    def job_of(self, agent: Agent, job_id: int) -> Job:
        job = self.jobs.filter(pk=job_id, team_id=agent.team_id).first()
        if job is None:
            raise Http404("Not found.")
        return job

    def given(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        given = serializer(data=self.request.data)
        given.is_valid(raise_exception=True)
        values: dict[str, Any] = given.validated_data
        return values

    def held(self, job: Job) -> Response:
        return Response({"id": job.pk, "status": job.status, "cancel_requested": job.is_cancelling})


class ClaimView(AgentView):
    @extend_schema(
        request=None, responses={200: ClaimedSerializer, 204: None, 409: ErrorSerializer},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        """The next job of this agent's, or 204. The same Idempotency-Key gives the same job."""
        held = remote.claim(self.agent(pk), key=self.launch_key() or "")
        if held is None:
            return Response(status=204)
        job = held.job
        return Response(
            {
                "id": job.pk, "fence": held.fence, "from_step": held.from_step,
                "lease_seconds": remote.LEASE.seconds, "workflow": job.workflow_slug,
                "version": job.version.number if job.version else 0,
                "effort": job.effort_level, "ticket_url": job.ticket_url,
                "ticket_key": job.ticket_key, "input": job.input,
                "steps": job.version.steps if job.version else [],
            }
        )  # fmt: skip


class HeartbeatView(AgentView):
    @extend_schema(
        request=HeartbeatSerializer, responses={200: BeatSerializer, 409: ErrorSerializer}
    )
    def post(self, request: Request, pk: int) -> Response:
        """Say that the agent lives, and which jobs it works on: those keep their lease."""
        agent = self.agent(pk)
        given = self.given(HeartbeatSerializer)
        named = [(row["job"], row["fence"]) for row in given["jobs"]]
        kept = remote.heartbeat(agent, named, version=given["version"])
        ours = {job_id for job_id, _, _ in kept}
        return Response(
            {
                "jobs": [
                    {"job": job_id, "fence": fence, "cancel_requested": asked}
                    for job_id, fence, asked in kept
                ],
                "lost": [job_id for job_id, _ in named if job_id not in ours],
            }
        )


class StepReportView(AgentView):
    @extend_schema(
        request=StepReportSerializer, responses={200: HeldSerializer, 409: ErrorSerializer}
    )
    def post(self, request: Request, pk: int, job_id: int) -> Response:
        """A step started, completed or failed; told twice it changes nothing."""
        agent = self.agent(pk)
        job = self.job_of(agent, job_id)
        return self.held(remote.report_step(agent, job, **self.given(StepReportSerializer)))


class FinishView(AgentView):
    @extend_schema(request=FinishSerializer, responses={200: HeldSerializer, 409: ErrorSerializer})
    def post(self, request: Request, pk: int, job_id: int) -> Response:
        """The end of the job. A late or foreign report is 409 LATE_REPORT and kept as evidence."""
        agent = self.agent(pk)
        job = self.job_of(agent, job_id)
        return self.held(remote.finish(agent, job, **self.given(FinishSerializer)))
