"""The addresses of the portal's jobs, agents and queue; jobs/urls.py joins them in."""

from django.urls import URLPattern, path

from jobs.views import actions, agents, bulk, detail, export, notices, queue
from jobs.views import list as job_list

urlpatterns: list[URLPattern] = [
    path("portal/jobs", job_list.JobListView.as_view(), name="list"),
    path("portal/jobs/updates", job_list.JobUpdatesView.as_view(), name="updates"),
    path("portal/jobs.csv", export.JobExportView.as_view(), name="export"),
    path("portal/jobs/bulk", bulk.BulkConfirmView.as_view(), name="bulk"),
    path("portal/jobs/bulk/all", bulk.BulkActionListView.as_view(), name="bulk_actions"),
    path("portal/jobs/bulk/<int:pk>", bulk.BulkActionView.as_view(), name="bulk_action"),
    path("portal/jobs/bulk/<int:pk>/abort", bulk.BulkAbortView.as_view(), name="bulk_abort"),
    path("portal/jobs/<int:pk>", detail.JobDetailView.as_view(), name="detail"),
    path("portal/jobs/<int:pk>/events", detail.JobEventsView.as_view(), name="events"),
    path("portal/jobs/<int:pk>/reveal", detail.JobRevealView.as_view(), name="reveal"),
    path("portal/jobs/<int:pk>/cancel", actions.JobCancelView.as_view(), name="cancel"),
    path("portal/jobs/<int:pk>/resend", actions.JobResendView.as_view(), name="resend"),
    path("portal/jobs/<int:pk>/force-stop", actions.JobForceStopView.as_view(), name="force_stop"),
    path("portal/jobs/<int:pk>/follow", notices.FollowView.as_view(), name="follow"),
    path("portal/notices", notices.NoticeListView.as_view(), name="notices"),
    path("portal/notices/read", notices.NoticesReadView.as_view(), name="notices_read"),
    path("portal/profile/notices", notices.NoticeRulesView.as_view(), name="notice_rules"),
    path("portal/agents", agents.AgentListView.as_view(), name="agents"),
    path("portal/agents/new", agents.AgentEditView.as_view(), name="agent_new"),
    path("portal/agents/<int:pk>", agents.AgentEditView.as_view(), name="agent_edit"),
    path("portal/agents/run", agents.RunWorkflowView.as_view(), name="run_workflow"),
    path("portal/queue", queue.QueueView.as_view(), name="queue"),
    path("portal/projects/<slug:slug>/pause", queue.PauseView.as_view(), name="pause"),
]
