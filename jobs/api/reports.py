"""Builds and server runs that other programs report (SPEC section 4)."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Right
from jobs import reporting
from jobs.api.access import ApiView
from jobs.api.jobs import size_of
from jobs.api.serializers import (
    BuildsSerializer,
    ErrorSerializer,
    ReportedSerializer,
    ReportSerializer,
    RunsSerializer,
    TellSerializer,
)
from jobs.models.jobs import JobKind

OF_PROJECT = [
    OpenApiParameter("projectId", str, description="A project's id or slug."),
    OpenApiParameter("size", int),
]
ONCE = [OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)]


class ReportListView(ApiView):
    kind = ""
    plural = ""

    def listing(self, request: Request) -> Response:
        jobs = self.jobs.filter(kind=self.kind).select_related("project").order_by("-id")
        if wanted := request.query_params.get("projectId"):
            jobs = jobs.filter(project=self.project(wanted))
        rows = ReportedSerializer(jobs[: size_of(request)], many=True)
        return Response({self.plural: rows.data})

    def reported(self, request: Request) -> Response:
        """201 when it was made now, 200 when this Idempotency-Key had made it before."""
        given = ReportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values: dict[str, Any] = given.validated_data
        job, is_new = reporting.report(
            self.project(values["project"], Right.OPERATE), self.actor,
            kind=self.kind, label=values["label"], status=values["status"],
            external_id=values["external_id"], agent_name=values["agent"], input=values["input"],
            launch_key=self.launch_key(),
        )  # fmt: skip
        return Response(ReportedSerializer(job).data, status=201 if is_new else 200)


class ReportView(ApiView):
    kind = ""

    @extend_schema(responses=ReportedSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(ReportedSerializer(self.job(pk, kind=self.kind)).data)

    @extend_schema(
        request=TellSerializer, responses={200: ReportedSerializer, 409: ErrorSerializer}
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Say how it stands. The answer's `cancel_requested` tells that people want it stopped."""
        job = self.job(pk, Right.OPERATE, kind=self.kind)
        given = TellSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        job = reporting.tell(job, self.actor, **given.validated_data)
        return Response(ReportedSerializer(job).data)


class BuildListView(ReportListView):
    kind = JobKind.BUILD
    plural = "builds"

    @extend_schema(operation_id="builds_list", parameters=OF_PROJECT, responses=BuildsSerializer)
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.listing(request)

    @extend_schema(request=ReportSerializer, responses={201: ReportedSerializer}, parameters=ONCE)
    def post(self, request: Request) -> Response:
        """Report a build that begins."""
        return self.reported(request)


class BuildView(ReportView):
    kind = JobKind.BUILD


class RunListView(ReportListView):
    kind = JobKind.RUN
    plural = "runs"

    @extend_schema(operation_id="runs_list", parameters=OF_PROJECT, responses=RunsSerializer)
    def get(self, request: Request) -> Response:
        """Newest first."""
        return self.listing(request)

    @extend_schema(request=ReportSerializer, responses={201: ReportedSerializer}, parameters=ONCE)
    def post(self, request: Request) -> Response:
        """Report a server run that begins."""
        return self.reported(request)


class RunView(ReportView):
    kind = JobKind.RUN
