"""Who calls the API, and how it says no: the same rights as the pages, in JSON."""

import hashlib
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.http import Http404, HttpRequest
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView
from rest_framework.views import exception_handler as rest_exception_handler

from accounts.models import ApiToken
from accounts.permissions import Actor, Right, require, roles_of_user
from jobs.execution.dispatch import Refused
from jobs.models import Job
from jobs.querysets.jobs import JobQuerySet
from projects.models import Project

LAST_USED_EVERY = timedelta(minutes=1)
PAYMENT_NEEDED = 402
REFUSED = 409


class TokenHolder:
    """Stands where a user stands when a program calls."""

    is_authenticated = True
    is_active = True
    is_anonymous = False
    pk = None

    def __init__(self, token: ApiToken):
        self.token = token


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer spt_…`"""

    def authenticate(self, request: Request) -> tuple[TokenHolder, ApiToken] | None:
        word, _, text = request.headers.get("Authorization", "").partition(" ")
        if word.lower() != "bearer":
            return None
        token = ApiToken.find(text.strip())
        if token is None:
            raise AuthenticationFailed("This token is not known, or was revoked, or has expired.")
        _note_use(token)
        return TokenHolder(token), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Spindle"'


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "spt_…"}


def _note_use(token: ApiToken) -> None:
    """At most once a minute a token: a busy program must not cost a write a call."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)


class CallerThrottle(SimpleRateThrottle):
    """A rate a token (or signed-in person), in each web process."""

    scope = "api"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        if isinstance(request.auth, ApiToken):
            return f"api-rate:token:{request.auth.pk}"
        return f"api-rate:user:{request.user.pk}"


def answer_for(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error as `{"code", "detail", …}`; a refusal's facts (used, allowed…) beside them."""
    if isinstance(error, Refused):
        status = PAYMENT_NEEDED if error.code == "PLAN_LIMIT" else REFUSED
        return Response({"code": error.code, "detail": str(error), **error.facts}, status=status)
    response = rest_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, ValidationError):
        response.data = {
            "code": "INVALID", "detail": "Some fields are not right.", "fields": response.data,
        }  # fmt: skip
    elif isinstance(response.data, dict):
        codes = {401: "NOT_SIGNED_IN", 403: "FORBIDDEN", 404: "NOT_FOUND", 429: "TOO_MANY"}
        response.data.setdefault("code", codes.get(response.status_code, "REFUSED"))
    return response


class ApiView(APIView):
    """Sets `actor` and `roles` ({team id: role}); what a call sees is filtered by its keys."""

    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [IsAuthenticated]
    throttle_classes = [CallerThrottle]
    parser_classes = [JSONParser]
    renderer_classes = [JSONRenderer]
    request: Request

    def get_exception_handler(self) -> Any:
        return answer_for

    @cached_property
    def actor(self) -> Actor:
        return actor_of(self.request)

    @cached_property
    def roles(self) -> dict[int, str]:
        return roles_of(self.actor)

    @property
    def jobs(self) -> JobQuerySet:
        return Job.objects.of_teams(self.roles)

    def job(self, pk: int, right: Right = Right.READ, **filters: Any) -> Job:
        """The job, or 404 for an outsider and 403 for too low a role."""
        found = self.jobs.for_detail().filter(pk=pk, **filters).first()
        if found is None:
            raise Http404("Not found.")
        require(self.actor, found.team_id, right)
        return found

    def project(self, slug_or_id: object, right: Right = Right.READ) -> Project:
        """By slug, or by number as other programs may keep it."""
        text = str(slug_or_id)
        mine = Project.objects.select_related("team").filter(team_id__in=self.roles)
        found = mine.filter(slug=text).first()
        if found is None and text.isdecimal() and len(text) < 19:
            found = mine.filter(pk=int(text)).first()
        if found is None:
            raise Http404("Not found.")
        require(self.actor, found.team_id, right)
        return found

    def launch_key(self) -> str | None:
        """From the header `Idempotency-Key`: a call that is repeated acts once."""
        given = self.request.headers.get("Idempotency-Key", "").strip()
        if not given:
            return None
        owner = f"token:{self.actor.token.pk}" if self.actor.token else f"user:{self.actor.user}"
        text = f"{owner}:{self.request.path}:{given}"
        return "api:" + hashlib.sha256(text.encode()).hexdigest()[:60]


def actor_of(request: Request | HttpRequest) -> Actor:
    token = getattr(request, "auth", None)
    if isinstance(token, ApiToken):
        return Actor(token=token)
    return Actor(user=request.user)  # type: ignore[arg-type]


def roles_of(actor: Actor) -> dict[int, str]:
    if actor.token:
        return {actor.token.team_id: actor.token.role}
    return roles_of_user(actor.user) if actor.user else {}
