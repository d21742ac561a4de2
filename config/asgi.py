"""The web process: Django's pages and the portal's one socket."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("SPINDLE_ROLE", "web")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

# Django must be set up before the consumers' models are imported.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from channels.sessions import CookieMiddleware  # noqa: E402
from django.urls import path  # noqa: E402

from config import boot  # noqa: E402
from config.body_limit import BodyLimit  # noqa: E402
from jobs.live.consumers import JobsConsumer  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": BodyLimit(django_application),
        "websocket": AllowedHostsOriginValidator(
            CookieMiddleware(URLRouter([path("ws/jobs", JobsConsumer.as_asgi())]))  # type: ignore[arg-type,list-item]
        ),
    }
)

boot.check_exposure(os.environ.get(boot.BIND))
