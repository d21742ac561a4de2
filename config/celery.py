"""The Celery application. Messages are hints (docs/architecture.md); the database is the truth."""

import os
from typing import Any

from celery import Celery, signals

from config import broker, tether

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
broker.register()

app = Celery("spindle")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.setup_logging.connect
def keep_django_logging(**kwargs: Any) -> None:
    """A receiver is enough: Celery then leaves logging as the settings have it."""


@signals.worker_process_init.connect
def die_with_worker(**kwargs: Any) -> None:
    tether.die_with(os.getppid())
