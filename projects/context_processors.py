from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from projects.shell import shell as build


def shell(request: HttpRequest) -> dict[str, Any]:
    """`shell` for templates, built only where a page draws the sidebar."""
    return {"shell": SimpleLazyObject(lambda: build(request))}
