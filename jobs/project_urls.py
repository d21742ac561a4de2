"""Pages of projects that show jobs: named with the project's pages, made on this side of them.

config/urls.py puts both lists into the one namespace `projects`.
"""

from typing import Any

from django.urls import URLPattern, path

from jobs.views import dry_run, imports, pipelines
from projects.models import PipelineKind
from projects.urls import CONTACTS, PIPELINE_ROOTS

urlpatterns: list[URLPattern] = [
    path(
        PIPELINE_ROOTS[PipelineKind.SPINNER], pipelines.SpinnerListView.as_view(), name="spinners"
    ),
    path(f"{CONTACTS}/imports/<int:pk>", imports.ImportView.as_view(), name="contact_import"),
    path("portal/workflows", pipelines.WorkflowListView.as_view(), name="workflows"),
]
PIPELINE_PAGES: list[tuple[str, str, type[Any]]] = [
    ("<slug:pipeline>", "", pipelines.PipelineDetailView),
    ("<slug:pipeline>/test", "_test", dry_run.DryRunView),
]
urlpatterns += [
    path(f"{root}/{route}", view.as_view(kind=kind), name=f"{kind}{name}")
    for kind, root in PIPELINE_ROOTS.items()
    for route, name, view in PIPELINE_PAGES
]
