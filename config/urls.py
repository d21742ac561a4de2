from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

import jobs.project_urls
import projects.urls
from accounts.views.people import AddressView

# Pages of projects that show jobs are made in jobs/, and named with the project's other pages.
project_pages = [*projects.urls.urlpatterns, *jobs.project_urls.urlpatterns]

# The admin has no sign-in of its own: rate limits and two-factor hold there too.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/email/", AddressView.as_view(), name="account_email"),
    path("accounts/", include("allauth.urls")),
    path("api/", include("jobs.api.urls")),
    path("", include("accounts.urls")),
    path("", include((project_pages, "projects"))),
    path("", include("jobs.urls")),
]

handler400 = "config.error_pages.bad_request"
handler403 = "config.error_pages.permission_denied"
handler404 = "config.error_pages.page_not_found"
handler500 = "config.error_pages.server_error"
