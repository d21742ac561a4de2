from typing import Any

from django.urls import URLPattern, path

from projects.models import PipelineKind
from projects.views import (
    contacts,
    contacts_detail,
    contacts_export,
    contacts_import,
    pipeline_editor,
    pipeline_history,
    pipelines,
    project_settings,
    secrets,
)

app_name = "projects"

CONTACTS = "portal/projects/<slug:slug>/contacts"

contact_patterns = [
    path(CONTACTS, contacts.ContactListView.as_view(), name="contacts"),
    path(f"{CONTACTS}/new", contacts_detail.ContactFormView.as_view(), name="contact_new"),
    path(f"{CONTACTS}/tags", contacts.ContactTagsView.as_view(), name="contact_tags"),
    path(f"{CONTACTS}/export", contacts_export.ContactExportView.as_view(), name="contacts_export"),
    path(f"{CONTACTS}/filters", contacts.SavedFilterCreateView.as_view(), name="saved_filter_new"),
    path(
        f"{CONTACTS}/filters/<int:pk>/delete",
        contacts.SavedFilterDeleteView.as_view(),
        name="saved_filter_delete",
    ),
    path(f"{CONTACTS}/import", contacts_import.ContactUploadView.as_view(), name="contacts_import"),
    path(
        f"{CONTACTS}/imports/<int:pk>/problems",
        contacts_import.ContactImportProblemsView.as_view(),
        name="contact_import_problems",
    ),
    path(f"{CONTACTS}/<int:pk>", contacts_detail.ContactView.as_view(), name="contact"),
    path(
        f"{CONTACTS}/<int:pk>/edit", contacts_detail.ContactFormView.as_view(), name="contact_edit"
    ),
    path(
        f"{CONTACTS}/<int:pk>/delete",
        contacts_detail.ContactDeleteView.as_view(),
        name="contact_delete",
    ),
]

# --- Spinners and workflows: the same pages under two addresses -------------------------------
PIPELINE_ROOTS = {
    PipelineKind.SPINNER: "portal/projects/<slug:owner>/spinners",
    PipelineKind.WORKFLOW: "portal/workflows/<slug:owner>",
}
PIPELINE_PAGES: list[tuple[str, str, type[Any]]] = [
    ("new", "new", pipelines.PipelineCreateView),
    ("import", "import", pipelines.PipelineImportView),
    ("<slug:pipeline>/edit", "edit", pipeline_editor.PipelineEditView),
    ("<slug:pipeline>/publish", "publish", pipelines.PipelinePublishView),
    ("<slug:pipeline>/history", "history", pipeline_history.PipelineHistoryView),
    ("<slug:pipeline>/compare", "compare", pipeline_history.PipelineCompareView),
    ("<slug:pipeline>/versions/<int:number>", "version", pipeline_history.PipelineVersionView),
    ("<slug:pipeline>/restore/<int:number>", "restore", pipeline_history.PipelineRestoreView),
    ("<slug:pipeline>/duplicate", "duplicate", pipelines.PipelineDuplicateView),
    ("<slug:pipeline>/archive", "archive", pipelines.PipelineArchiveView),
    ("<slug:pipeline>/export", "export", pipelines.PipelineExportView),
]
pipeline_patterns = [
    path(f"{root}/{route}", view.as_view(kind=kind), name=f"{kind}_{name}")
    for kind, root in PIPELINE_ROOTS.items()
    for route, name, view in PIPELINE_PAGES
]

settings_patterns = [
    path("portal/settings/<slug:team>/secrets", secrets.SecretsView.as_view(), name="secrets"),
    path(
        "portal/settings/<slug:team>/secrets/<int:pk>/delete",
        secrets.SecretDeleteView.as_view(),
        name="secret_delete",
    ),
    path(
        "portal/settings/<slug:team>/projects/new",
        project_settings.ProjectCreateView.as_view(),
        name="project_new",
    ),
    path(
        "portal/projects/<slug:slug>/settings",
        project_settings.ProjectSettingsView.as_view(),
        name="project_settings",
    ),
]

urlpatterns: list[URLPattern] = [*settings_patterns, *contact_patterns, *pipeline_patterns]
