from django.urls import URLPattern, path

from jobs import portal_urls
from jobs.views import (
    approvals,
    callback,
    comparison,
    journey,
    live_ops,
    records,
    runs,
    start_run,
    uncertain,
)

app_name = "jobs"

PROJECT = "portal/projects/<slug:slug>"

urlpatterns: list[URLPattern] = [
    *portal_urls.urlpatterns,
    # --- runs, records, journeys
    path(f"{PROJECT}/jobs", runs.RunsView.as_view(), name="runs"),
    path(f"{PROJECT}/jobs/<int:job_id>", runs.RunsView.as_view(), name="runs"),
    path(f"{PROJECT}/jobs/<int:job_id>/act", runs.RunActionView.as_view(), name="run_action"),
    path(f"{PROJECT}/jobs/new", start_run.StartRunView.as_view(), name="start_run"),
    path(
        f"{PROJECT}/jobs/new/forecast", start_run.ForecastView.as_view(), name="start_run_forecast"
    ),
    path(f"{PROJECT}/records", records.RecordListView.as_view(), name="records"),
    path(f"{PROJECT}/records.csv", records.RecordExportView.as_view(), name="records_export"),
    path(f"{PROJECT}/records/failures", records.FailureListView.as_view(), name="failures"),
    path(f"{PROJECT}/records/failures/retry", records.CauseRetryView.as_view(), name="retry_cause"),
    path(f"{PROJECT}/records/uncertain", uncertain.UncertainListView.as_view(), name="uncertain"),
    path(f"{PROJECT}/records/waiting", approvals.ApprovalListView.as_view(), name="approvals"),
    path(f"{PROJECT}/records/<int:record_id>", journey.RecordView.as_view(), name="record"),
    path(
        f"{PROJECT}/records/<int:record_id>/act",
        journey.RecordActionView.as_view(),
        name="record_action",
    ),
    path(
        f"{PROJECT}/contacts/<int:contact_id>/records",
        journey.ContactRecordsView.as_view(),
        name="contact_records",
    ),
    # --- answers from outside
    path("callbacks/<str:token>", callback.CallbackView.as_view(), name="callback"),
    path(f"{PROJECT}/live-ops", live_ops.LiveOpsView.as_view(), name="live_ops"),
    # --- a run beside another
    path("portal/jobs/<int:pk>/comparison", comparison.ComparisonView.as_view(), name="comparison"),
]
