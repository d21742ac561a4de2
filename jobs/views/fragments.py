"""One view for a page and its parts: which template answers a request."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme


class FragmentMixin:
    """`fragments` names the template for each htmx target; anything else gets the whole page.

    A history restore asks with the same headers but needs the whole page, and the browser must
    not keep one answer for the other (Vary).
    """

    request: HttpRequest
    template_name: str
    fragments: dict[str, str] = {}

    def get_template_names(self) -> list[str]:
        htmx = self.request.htmx  # type: ignore[attr-defined]
        if htmx and not htmx.history_restore_request and htmx.target in self.fragments:
            return [self.fragments[htmx.target]]
        return [self.template_name]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        patch_vary_headers(response, ["HX-Request", "HX-Target"])
        return response


def back_to(request: HttpRequest, fallback: str) -> str:
    """Where a form came from (its `next`), if that is a page of this portal."""
    target = request.POST.get("next", "")
    hosts = {request.get_host()}
    if url_has_allowed_host_and_scheme(target, hosts, require_https=request.is_secure()):
        return target
    return fallback
