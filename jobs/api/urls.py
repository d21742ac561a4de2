"""`/api/…`; described for programs at /api/schema and for people in docs/api.md."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView

from jobs.api import agents, jobs, projects, reports, stream

app_name = "api"

PROJECT = "projects/<slug:slug>"

urlpatterns = [
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("jobs", jobs.JobListView.as_view(), name="jobs"),
    path("jobs/<int:pk>", jobs.JobView.as_view(), name="job"),
    path("jobs/<int:pk>/events", jobs.JobEventsView.as_view(), name="job_events"),
    path("jobs/<int:pk>/cancel", jobs.JobCancelView.as_view(), name="job_cancel"),
    path("jobs/<int:pk>/resend", jobs.JobResendView.as_view(), name="job_resend"),
    path("projects", projects.ProjectListView.as_view(), name="projects"),
    path(f"{PROJECT}/pipelines", projects.PipelineListView.as_view(), name="pipelines"),
    path(f"{PROJECT}/contacts", projects.ContactListView.as_view(), name="contacts"),
    path(f"{PROJECT}/records", projects.RecordListView.as_view(), name="records"),
    path(
        f"{PROJECT}/spinners/<slug:pipeline>/runs",
        projects.StartRunView.as_view(),
        name="start_run",
    ),
    path(
        f"{PROJECT}/workflows/<slug:pipeline>/jobs",
        projects.DispatchView.as_view(),
        name="dispatch",
    ),
    path("agents/<int:pk>/claim", agents.ClaimView.as_view(), name="agent_claim"),
    path("agents/<int:pk>/heartbeat", agents.HeartbeatView.as_view(), name="agent_heartbeat"),
    path(
        "agents/<int:pk>/jobs/<int:job_id>/steps",
        agents.StepReportView.as_view(),
        name="agent_steps",
    ),
    path(
        "agents/<int:pk>/jobs/<int:job_id>/finish",
        agents.FinishView.as_view(),
        name="agent_finish",
    ),
    path("builds", reports.BuildListView.as_view(), name="builds"),
    path("builds/<int:pk>", reports.BuildView.as_view(), name="build"),
    path("runs", reports.RunListView.as_view(), name="runs"),
    path("runs/stream", stream.run_stream, name="run_stream"),
    path("runs/<int:pk>", reports.RunView.as_view(), name="run"),
]
