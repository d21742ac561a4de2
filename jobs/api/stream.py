"""`GET /api/runs/stream`: server-sent events of server runs, for programs (SPEC section 4).

Every connection begins with the state of what is active; with `Last-Event-ID` only with what
changed since. Then each change comes once, at once. `data.version` rises with every change of a
run: what is not newer than what one has may be dropped.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from accounts.models import ApiToken
from accounts.permissions import Actor
from jobs.api.access import roles_of
from jobs.live import facts
from jobs.live.feed import Subscriber, now_ms
from jobs.live.hub import hub
from jobs.models import Job, JobEvent
from jobs.models.jobs import JobKind
from jobs.reporting import said_status
from jobs.statuses import ACTIVE_JOB_STATUSES
from projects.models import Project

KEEP_ALIVE_SECONDS = 15
# A change is stamped before its transaction commits: look back a little.
LOOK_BACK = timedelta(seconds=5)


@dataclass(slots=True)
class Listener:
    subscriber: Subscriber
    project_id: int | None


@require_safe
async def run_stream(request: HttpRequest) -> HttpResponseBase:
    found = await sync_to_async(_listener_at_once)(request)
    if not isinstance(found, Listener):
        return JsonResponse({"code": found[1], "detail": found[2]}, status=found[0])
    since = _since(request.headers.get("Last-Event-ID", ""))
    return StreamingHttpResponse(
        _events(found, since),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


def _listener_at_once(request: HttpRequest) -> Listener | tuple[int, str, str]:
    """The stream may last for days: it must not keep the request's connection as long."""
    try:
        return _listener(request)
    finally:
        if not connection.in_atomic_block:
            connection.close()


def _listener(request: HttpRequest) -> Listener | tuple[int, str, str]:
    word, _, text = request.headers.get("Authorization", "").partition(" ")
    if word.lower() == "bearer":
        token = ApiToken.find(text.strip())
        if token is None:
            return 401, "NOT_SIGNED_IN", "This token is not known, or was revoked, or has expired."
        actor = Actor(token=token)
        holder: dict[str, Any] = {"user_id": 0, "session_key": "", "password": ""}
        holder["token_id"] = token.pk
    elif request.user.is_authenticated:
        actor = Actor(user=request.user)
        holder = {
            "user_id": request.user.pk, "session_key": request.session.session_key,
            "password": request.user.password,
        }  # fmt: skip
    else:
        return 401, "NOT_SIGNED_IN", "Send a token: Authorization: Bearer spt_…"
    teams = frozenset(roles_of(actor))
    project_id = None
    if wanted := request.GET.get("projectId", ""):
        project_id = _project_id(wanted, teams)
        if project_id is None:
            return 404, "NOT_FOUND", "Not found."
    return Listener(Subscriber(**holder, team_ids=teams), project_id)


def _project_id(wanted: str, teams: frozenset[int]) -> int | None:
    which = Q(slug=wanted)
    if wanted.isdecimal() and len(wanted) < 19:
        which |= Q(pk=int(wanted))
    return Project.objects.filter(which, team_id__in=teams).values_list("pk", flat=True).first()


async def _events(listener: Listener, since: datetime | None) -> AsyncIterator[str]:
    subscriber = listener.subscriber
    await hub().subscribe(subscriber)
    try:
        yield "retry: 2000\n\n"
        for job in await _standing(listener, since):
            yield _event(job)
        while not subscriber.is_closed.is_set():
            text = await _next(subscriber)
            if text is None:
                yield ": still here\n\n"
            elif subscriber.is_behind:
                subscriber.forget()
                for job in await _standing(listener, None):
                    yield _event(job)
            else:
                job = json.loads(text)["job"]
                if _is_wanted(listener, job):
                    yield _event(job)
    finally:
        await hub().unsubscribe(subscriber)


async def _next(subscriber: Subscriber) -> str | None:
    """The next message, None after a silence; "" when the socket is to end."""
    message = asyncio.ensure_future(subscriber.queue.get())
    closing = asyncio.ensure_future(subscriber.is_closed.wait())
    try:
        await asyncio.wait(
            {message, closing}, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        return message.result() if message.done() else None
    finally:
        message.cancel()
        closing.cancel()


def _is_wanted(listener: Listener, job: dict[str, Any]) -> bool:
    return job["kind"] == JobKind.RUN and listener.project_id in (None, job["project_id"])


@database_sync_to_async
def _standing(listener: Listener, since: datetime | None) -> list[dict[str, Any]]:
    runs: QuerySet[Job] = Job.objects.filter(
        kind=JobKind.RUN, team_id__in=listener.subscriber.team_ids
    )
    if listener.project_id is not None:
        runs = runs.filter(project_id=listener.project_id)
    if since is None:
        runs = runs.filter(status__in=ACTIVE_JOB_STATUSES)
    else:
        seen_from = since - LOOK_BACK
        told = JobEvent.objects.filter(job_id=OuterRef("pk"), at__gte=seen_from)
        recent = Q(status__in=ACTIVE_JOB_STATUSES) | Q(completed_at__gte=seen_from)
        runs = runs.filter(recent | Q(is_corrected=True)).filter(Exists(told))
    return facts.load(runs.order_by("id"))


def _since(text: str) -> datetime | None:
    if not text.isdecimal() or len(text) > 15:
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _event(job: dict[str, Any]) -> str:
    body = {
        "id": job["id"], "key": job["action_key"], "project_id": job["project_id"],
        "project": job["project_slug"], "project_name": job["project"], "label": job["label"],
        "status": said_status(job["status"], is_cancelling=job["cancelling"]),
        "cancel_requested": job["cancelling"], "action_label": job["action_label"],
        "version": job["v"], "created": job["created"], "started": job["started"],
        "ended": job["ended"],
    }  # fmt: skip
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return f"id: {now_ms()}\nevent: run-update\ndata: {text}\n\n"
