"""The portal with the benchmark's addresses beside its own; only bench/jobs_pages.py serves it."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

settings.ROOT_URLCONF = "bench.jobs_pages"
application = get_asgi_application()
