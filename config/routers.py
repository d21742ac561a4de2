"""The embedded channel layer keeps to its own SQLite file; everything else stays out of it."""

from typing import Any

LAYER_APP = "channels_lite"


class ChannelLayerRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "channels" if model._meta.app_label == LAYER_APP else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "channels") == (app_label == LAYER_APP)
