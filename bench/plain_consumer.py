"""What most teams write: every socket joins the channel layer's group itself (bench/push.py)."""

import json
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import CookieMiddleware
from django.urls import path

from config.asgi import django_application
from jobs.live.push import group_name
from jobs.live.rights import holders_of


class PlainConsumer(AsyncWebsocketConsumer):
    groups_joined: list[str]

    async def connect(self) -> None:
        session_key = self.scope["cookies"].get("sessionid", "")
        holder = (await holders_of([session_key])).get(session_key)
        if holder is None:
            await self.close()
            return
        self.groups_joined = [group_name(team_id) for team_id in holder.team_ids]
        for name in self.groups_joined:
            await self.channel_layer.group_add(name, self.channel_name)
        await self.accept()
        await self.send('{"type":"snapshot"}')

    async def disconnect(self, code: int) -> None:
        for name in getattr(self, "groups_joined", []):
            await self.channel_layer.group_discard(name, self.channel_name)

    async def hub_job(self, message: dict[str, Any]) -> None:
        await self.send(json.dumps({"type": "job", "job": message["job"]}, separators=(",", ":")))


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": CookieMiddleware(URLRouter([path("ws/jobs", PlainConsumer.as_asgi())])),
    }
)
