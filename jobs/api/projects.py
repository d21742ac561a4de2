"""Projects over the API: what is in them, their contacts, records, and starting work."""

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Right
from jobs.api.access import ApiView
from jobs.api.jobs import CURSOR, listed, size_of
from jobs.api.serializers import (
    ContactSerializer,
    DispatchSerializer,
    ErrorSerializer,
    JobDetailSerializer,
    PipelineSerializer,
    ProjectSerializer,
    RecordSerializer,
    StartRunSerializer,
)
from jobs.api.serializers import page_of as page_schema
from jobs.execution import dispatch
from jobs.execution.selection import Selection
from jobs.filtersets.records import RecordFilterSet
from jobs.models import Agent, Record
from jobs.querysets.keyset import capped_count, page_of
from projects.contacts.filtersets import ContactFilterSet
from projects.models import Contact, Pipeline, PipelineKind, Project

REFUSALS = {402: ErrorSerializer, 409: ErrorSerializer}
OPTIONS = ("pace_per_minute", "failure_limit_percent", "concurrency")


class ProjectListView(ApiView):
    @extend_schema(responses=ProjectSerializer(many=True))
    def get(self, request: Request) -> Response:
        projects = Project.objects.filter(team_id__in=self.roles).order_by("name", "pk")
        return Response({"results": ProjectSerializer(projects, many=True).data})


class PipelineListView(ApiView):
    """The published spinners of a project and workflows of its team."""

    @extend_schema(responses=PipelineSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        project = self.project(slug)
        spinners = Pipeline.objects.spinners().filter(project=project)
        workflows = Pipeline.objects.workflows().filter(team_id=project.team_id)
        found = [
            *spinners.published().select_related("project", "current_version"),
            *workflows.published().select_related("project", "current_version"),
        ]
        return Response({"results": PipelineSerializer(found, many=True).data})


class ContactListView(ApiView):
    @extend_schema(
        parameters=[
            *(OpenApiParameter(name, str) for name in ContactFilterSet.base_filters), *CURSOR,
        ],
        responses=page_schema(ContactSerializer),
    )  # fmt: skip
    def get(self, request: Request, slug: str) -> Response:
        """Filters as on the Contacts page."""
        project = self.project(slug)
        filterset = ContactFilterSet(
            request.query_params, queryset=Contact.objects.filter(project=project), project=project
        )
        if not filterset.is_valid():
            raise ValidationError(filterset.errors)
        page = page_of(filterset.qs, ["id"], request.query_params, size=size_of(request))
        return listed(page, ContactSerializer(page.rows, many=True), capped_count(filterset.qs))


class RecordListView(ApiView):
    @extend_schema(
        parameters=[
            *(OpenApiParameter(name, str) for name in RecordFilterSet.base_filters), *CURSOR,
        ],
        responses=page_schema(RecordSerializer),
    )  # fmt: skip
    def get(self, request: Request, slug: str) -> Response:
        """Outcomes per contact; filters as on the Records page."""
        project = self.project(slug)
        filterset = RecordFilterSet(
            request.query_params, queryset=Record.objects.filter(project=project), project=project
        )
        if not filterset.is_valid():
            raise ValidationError(filterset.errors)
        page = page_of(filterset.qs, filterset.order, request.query_params, size=size_of(request))
        return listed(page, RecordSerializer(page.rows, many=True), capped_count(filterset.qs))


class StartRunView(ApiView):
    @extend_schema(
        request=StartRunSerializer, responses={201: JobDetailSerializer, **REFUSALS},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
    )  # fmt: skip
    def post(self, request: Request, slug: str, pipeline: str) -> Response:
        """Start a run of a published spinner. With an `Idempotency-Key` a repeated call starts
        one run."""
        project = self.project(slug, Right.OPERATE)
        spinner = Pipeline.objects.spinners().filter(project=project, slug=pipeline).first()
        if spinner is None:
            raise Http404("Not found.")
        given = StartRunSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        job = dispatch.dispatch_spinner(
            spinner,
            self.actor,
            selection=Selection(
                kind=values["contacts"], filter=values["filter"], ids=values["ids"],
                job_id=values["job"], import_id=values["import_id"],
            ),
            effort=values["effort"],
            options={name: values[name] for name in OPTIONS if values[name]},
            launch_key=self.launch_key(),
            scheduled_for=values["scheduled_for"],
            waits_for_plan=values["wait_for_plan"],
        )  # fmt: skip
        return Response(JobDetailSerializer(job).data, status=201)


class DispatchView(ApiView):
    @extend_schema(
        request=DispatchSerializer, responses={201: JobDetailSerializer, **REFUSALS},
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
    )  # fmt: skip
    def post(self, request: Request, slug: str, pipeline: str) -> Response:
        """Run a workflow once."""
        project = self.project(slug, Right.OPERATE)
        workflow = Pipeline.objects.filter(
            team_id=project.team_id, kind=PipelineKind.WORKFLOW, slug=pipeline
        ).first()
        if workflow is None:
            raise Http404("Not found.")
        given = DispatchSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        agent = None
        if values["agent"]:
            agent = Agent.objects.filter(team_id=project.team_id, name=values["agent"]).first()
            if agent is None:
                raise ValidationError({"agent": ["There is no agent of this name."]})
        hint = {"hint": values["hint"]} if values["hint"] else {}
        job = dispatch.dispatch_workflow(
            workflow,
            self.actor,
            project=project,
            input={**values["input"], **hint},
            agent=agent,
            effort=values["effort"],
            ticket_url=values["ticket_url"],
            launch_key=self.launch_key(),
        )
        return Response(JobDetailSerializer(job).data, status=201)
