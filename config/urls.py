from django.contrib import admin
from django.urls import include, path

import jobs.project_urls
import projects.urls

# Pages of projects that show jobs are made in jobs/, and named with the project's other pages.
project_pages = [*projects.urls.urlpatterns, *jobs.project_urls.urlpatterns]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("api/", include("jobs.api.urls")),
    path("", include("accounts.urls")),
    path("", include((project_pages, "projects"))),
    path("", include("jobs.urls")),
]
