"""`/callbacks/<token>`: how an outside system, or a person with the link, answers a wait step.

Opening the address changes nothing, since mail scanners and previews open links; POST answers. The
signature in the address is the right: no session is looked at, and nothing is told of the job.
"""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse, RawPostDataException
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from jobs.execution import dispatch
from jobs.execution.dispatch import Refused
from jobs.models import LateReport, Record
from jobs.statuses import FINAL_RECORD_STATUSES
from jobs.steps.callbacks import read_token

MOST_BYTES = 256 * 1024


@method_decorator(csrf_exempt, name="dispatch")
class CallbackView(View):
    """GET shows a page with a button; POST takes JSON, a form, or nothing."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        record_id, step = read_token(token) or (0, "")
        record = Record.objects.filter(pk=record_id).select_related("job__team").first()
        if record is None or step not in {known["name"] for known in record.job.steps}:
            return _page(request, "unknown", status=404)
        number = 1 + [known["name"] for known in record.job.steps].index(step)
        if record.callbacks.filter(step=number).exists():
            return _page(request, "answered")
        if record.status in FINAL_RECORD_STATUSES or record.next_step > number:
            return _page(request, "over")
        return _page(request, "asked", team=record.job.team, job_label=record.job.label)

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        wants_page = "text/html" in request.headers.get("Accept", "")
        try:
            payload = _payload(request)
            record_id, _ = read_token(token) or (0, "")
            late = LateReport.objects.filter(record_id=record_id).count()
            record = dispatch.resolve_callback(token, payload)
        except ValueError as error:
            return JsonResponse({"code": "INVALID", "detail": str(error)}, status=400)
        except Refused as refusal:
            if wants_page:
                return _page(request, "unknown", status=404)
            return JsonResponse({"code": refusal.code, "detail": str(refusal)}, status=404)
        was_first = record.late_reports.count() == late
        if wants_page:
            return _page(request, "thanks" if was_first else "answered")
        return JsonResponse({"status": "taken" if was_first else "kept as a second answer"})


def _payload(request: HttpRequest) -> Any:
    try:
        if int(request.headers.get("Content-Length") or 0) > MOST_BYTES:
            raise ValueError("An answer may be 256 KB long.")
        if request.content_type == "application/json":
            return json.loads(request.body or b"{}")
        return {
            key: value[0] if len(value) == 1 else value
            for key, value in request.POST.lists() if key != "csrfmiddlewaretoken"
        }  # fmt: skip
    except (RawPostDataException, UnicodeDecodeError, RecursionError, json.JSONDecodeError):
        raise ValueError("The body should be JSON or a form.") from None


def _page(request: HttpRequest, state: str, *, status: int = 200, **context: Any) -> HttpResponse:
    response = render(request, "jobs/callback.html", {"state": state, **context}, status=status)
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"  # the address is a secret
    return response
