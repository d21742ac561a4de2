"""Jobs over the API: list, one, its events, cancel, resend."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Right
from jobs.api.access import ApiView
from jobs.api.serializers import (
    EventSerializer,
    JobDetailSerializer,
    JobSerializer,
    ResendSerializer,
)
from jobs.api.serializers import page_of as page_schema
from jobs.execution import dispatch
from jobs.filtersets.jobs import JobFilterSet
from jobs.querysets.keyset import COUNT_CAP, capped_count, page_of
from projects.models import Project

MOST_A_PAGE = 200
CURSOR = [
    OpenApiParameter("after", str, description="`next` of the page before."),
    OpenApiParameter("size", int, description=f"Rows, at most {MOST_A_PAGE}; 50 unless told."),
]
JOB_FILTERS = [
    OpenApiParameter(name, str, description=str(made.label))
    for name, made in JobFilterSet.base_filters.items()
]


def size_of(request: Request) -> int:
    text = request.query_params.get("size", "50")
    return max(1, min(int(text), MOST_A_PAGE)) if text.isdecimal() and len(text) < 6 else 50


def listed(page: Any, serializer: Any, count: int) -> Response:
    """`count` stops at the cap: one more than it means "more"."""
    return Response(
        {
            "count": min(count, COUNT_CAP), "count_is_capped": count > COUNT_CAP,
            "next": page.after or None, "results": serializer.data,
        }
    )  # fmt: skip


class JobListView(ApiView):
    @extend_schema(
        parameters=[*JOB_FILTERS, *CURSOR],
        operation_id="jobs_list",
        responses=page_schema(JobSerializer),
    )
    def get(self, request: Request) -> Response:
        """The jobs of the caller's teams, newest first; filters as on the Jobs page."""
        filterset = JobFilterSet(request.query_params, queryset=self.jobs)
        if not filterset.is_valid():
            raise ValidationError(filterset.errors)
        page = page_of(
            filterset.qs.for_list(), ["-id"], request.query_params, size=size_of(request)
        )
        ids = {job.project_id for job in page.rows}
        slugs = dict(Project.objects.filter(pk__in=ids).values_list("pk", "slug"))
        rows = JobSerializer(page.rows, many=True, context={"slugs": slugs})
        return listed(page, rows, capped_count(filterset.qs))


class JobView(ApiView):
    @extend_schema(responses=JobDetailSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(JobDetailSerializer(self.job(pk)).data)


class JobEventsView(ApiView):
    @extend_schema(parameters=CURSOR, responses=page_schema(EventSerializer))
    def get(self, request: Request, pk: int) -> Response:
        """The execution history, in order."""
        job = self.job(pk)
        page = page_of(job.events.all(), ["number"], request.query_params, size=size_of(request))
        return listed(page, EventSerializer(page.rows, many=True), job.event_count)


class JobCancelView(ApiView):
    @extend_schema(request=None, responses=JobDetailSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Asked again it changes nothing; a job that had ended is refused (ALREADY_ENDED)."""
        job = dispatch.cancel(self.job(pk, Right.OPERATE), self.actor)
        return Response(JobDetailSerializer(job).data)


class JobResendView(ApiView):
    @extend_schema(request=ResendSerializer, responses=JobDetailSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """One new job, however often it is asked: 201 when it was made now, 200 when before."""
        job = self.job(pk, Right.OPERATE)
        given = ResendSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made, is_new = dispatch.resend(job, self.actor, effort=given.validated_data["effort"])
        return Response(JobDetailSerializer(made).data, status=201 if is_new else 200)
