"""The socket of a page, inside the test's own process."""

import json
from typing import Any

from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.test import Client

from accounts.models import User
from config.asgi import application
from jobs.live import facts
from jobs.live.push import send
from jobs.models import Job
from projects.models import Project


def make_job(project: Project, **fields: Any) -> Job:
    return Job.objects.create(
        **{
            "team": project.team, "project": project, "kind": "workflow", "label": "SE Work",
            "workflow_slug": "se-work", "name": "se-work — queued", "status": "running",
            "total_count": 1, **fields,
        }
    )  # fmt: skip


def socket_for(user: User | None, origin: str = "http://localhost") -> WebsocketCommunicator:
    headers = [(b"origin", origin.encode()), (b"host", b"localhost")]
    if user is not None:
        client = Client()
        client.force_login(user)
        cookie = f"sessionid={client.cookies['sessionid'].value}"
        headers.append((b"cookie", cookie.encode()))
    return WebsocketCommunicator(application, "/ws/jobs", headers=headers)


async def told(socket: WebsocketCommunicator, seconds: float = 3) -> dict[str, Any]:
    message = json.loads(await socket.receive_from(seconds))
    return message[-1] if isinstance(message, list) else message


async def opened(user: User) -> tuple[WebsocketCommunicator, dict[str, Any]]:
    socket = await sync_to_async(socket_for)(user)
    is_open, _ = await socket.connect(timeout=3)
    assert is_open
    return socket, await told(socket)


async def push(job: Job, **fields: Any) -> None:
    """What push.py does after a commit, without its thread."""
    await Job.objects.filter(pk=job.pk).aupdate(**fields)
    await send(await sync_to_async(facts.load)(Job.objects.filter(pk=job.pk)))
