"""The portal with the benchmark's addresses beside its own; only bench/jobs_pages.py serves it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import get_resolver

from config.serving import settle_in

settings.ROOT_URLCONF = "bench.jobs_pages"
application = get_asgi_application()
get_resolver().url_patterns  # noqa: B018 -- as the web process does
settle_in()
