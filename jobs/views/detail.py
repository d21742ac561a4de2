"""One job's page, its living parts, its full history, and the reveal of a private value."""

from datetime import datetime
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode
from zlib import crc32

from django.db.models import Count, Min
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views import View
from django.views.generic import TemplateView

from accounts.permissions import Right
from jobs import cancel_words, events, usual
from jobs.events import EventKind
from jobs.execution.dispatch import force_stop_offered_at
from jobs.failures import explain
from jobs.models import Job, Record
from jobs.models.jobs import JobKind
from jobs.notices import following, reading
from jobs.privacy import input_pairs
from jobs.progress import speed_of
from jobs.pruning import pruning_of
from jobs.querysets.keyset import page_of
from jobs.queueing import DISPATCHED_KINDS, paused_words, pending_reason, stands_without_worker
from jobs.rows import action_for, length_words, progress_words, status_word
from jobs.statuses import JobStatus, RecordStatus
from jobs.timeline import Timeline, mismatch, timeline_of
from jobs.views.scope import JobAccessMixin

EVENTS_A_PAGE = 200
WAIT_WORDS = {
    "approval": "a person's approval",
    "callback": "an answer from outside",
    "until": "a time",
}


class JobDetailView(JobAccessMixin, TemplateView):
    """The page; with `?stamp=` only what changed since (204 when nothing did)."""

    template_name = "jobs/job_detail.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.GET.get("stamp") is None:
            reading.open_job(request, self.job.pk)
            return super().get(request, *args, **kwargs)
        stamp = stamp_of(
            self.job, pending_reason(self.job), is_stalled=usual.is_stalled(self.job),
            is_without_worker=stands_without_worker(self.job),
        )  # fmt: skip
        if request.GET["stamp"] == stamp and not self.job.is_cancelling:
            return HttpResponse(status=204)
        return render(request, "jobs/_job_live.html", self.get_context_data(is_swap=True))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        job = self.job
        context = super().get_context_data(**kwargs)
        timeline = timeline_of(job)
        resent_as = Job.objects.filter(resend_of_id=job.pk).only("created_by_name").first()
        live = live_context(
            job, may_operate=context["can_operate"], is_resent=resent_as is not None
        )
        return {
            **context,
            **live,
            **back_link(self.request, job),
            "pairs": input_pairs(job),
            "timeline": timeline,
            "events_pruning": pruning_of(job, "events"),
            "mismatch": self._mismatch(timeline),
            "stamp": stamp_of(
                job,
                live["pending_reason"],
                is_stalled=live["is_stalled"],
                is_without_worker=live["is_without_worker"],
            ),
            "now_ms": round(timezone.now().timestamp() * 1000),
            "is_following": self._is_following(),
            "resent_as": resent_as,
        }

    def _is_following(self) -> bool:
        """Its toggle is no living part: only the whole page asks."""
        if self.request.GET.get("stamp") is not None:
            return False
        return following.is_following(self.job.pk, self.request.user)  # type: ignore[arg-type]

    def _mismatch(self, timeline: Timeline | None) -> str:
        """Asked again of a fresh row: the job may have ended between the two readings."""
        if not mismatch(self.job, timeline):
            return ""
        self.job.refresh_from_db(fields=["status"])
        return mismatch(self.job, timeline_of(self.job))


class JobEventsView(JobAccessMixin, TemplateView):
    """The full event history, oldest first, by key."""

    template_name = "jobs/job_events.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = page_of(
            self.job.events.all(),
            ["number"],
            self.request.GET,
            size=EVENTS_A_PAGE,  # type: ignore[attr-defined]
        )
        return super().get_context_data(
            page=page, events_pruning=pruning_of(self.job, "events"), **kwargs
        )


class JobRevealView(JobAccessMixin, View):
    """Shows one private value of the input, once, and writes down who looked (X5)."""

    required_right = Right.OPERATE

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        key = request.POST.get("key", "")
        pairs = input_pairs(self.job, revealed=key)
        pair = next((pair for pair in pairs if pair.key == key and pair.is_private), None)
        if pair is None:
            raise Http404("Not found.")
        events.emit(
            self.job.pk, EventKind.REVEALED, f"{self.actor.name} looked at the private value {key}.",
            actor=self.actor, payload={"key": key},
        )  # fmt: skip
        response = render(request, "jobs/job_reveal.html", {"job": self.job, "pair": pair})
        response["Cache-Control"] = "no-store"
        return response


def stamp_of(job: Job, reason: str, *, is_stalled: bool, is_without_worker: bool) -> str:
    """Changes whenever the living parts of the page do: also by what happens to others (the
    place in the queue, in `reason`) or by time alone.
    """
    return "-".join(
        str(part) for part in (
            job.event_count, job.status[:3], job.current_step, job.finished_count,
            job.waiting_count, int(job.cancel_requested_at is not None),
            crc32(reason.encode()), int(is_stalled),
            int(is_without_worker),
        )
    )  # fmt: skip


def live_context(job: Job, *, may_operate: bool, is_resent: bool) -> dict[str, Any]:
    """Everything on the page that moves while the job does."""
    known = usual.usual_range(job)
    force_at = cast("datetime | None", force_stop_offered_at(job))
    return {
        "status_word": status_word(job),
        "progress": progress_words(job),
        "length": "" if job.duration_seconds is None else length_words(job.duration_seconds),
        "ticks_from": (
            f"{job.started_at.timestamp() * 1000:.0f}" if job.started_at and job.is_active else ""
        ),
        "usual": known,
        "is_stalled": usual.is_stalled(job, known),
        "fixed_limit": "" if known or job.status != JobStatus.RUNNING else usual.fixed_words(job),
        "speed": speed_of(job) if job.kind == JobKind.SPINNER and job.is_active else None,
        "action": action_for(job, may_operate=may_operate, is_resent=is_resent),
        "may_force_stop": may_operate and force_at is not None and force_at <= timezone.now(),
        "force_stop_at": force_at,
        "error_message": (job.error.strip().splitlines() or [""])[0][:300],
        "failure": explain(job.error_type) if job.status == JobStatus.FAILED else None,
        "pending_reason": pending_reason(job),
        "is_without_worker": stands_without_worker(job),
        "paused": paused_words(job.project) if _is_held_by_pause(job) else "",
        "waits": waits_of(job) if job.waiting_count or job.status == JobStatus.WAITING else [],
        "cancel_story": cancel_words.story(job) if job.status == JobStatus.CANCELLED else "",
    }


def _is_held_by_pause(job: Job) -> bool:
    """Begun work in a paused project; what is pending says so as its reason."""
    is_begun = job.status in {JobStatus.RUNNING, JobStatus.WAITING}
    return is_begun and bool(job.project.paused_at) and job.kind in DISPATCHED_KINDS


def is_resent(job: Job) -> bool:
    return Job.objects.filter(resend_of_id=job.pk).exists()


def waits_of(job: Job) -> list[dict[str, Any]]:
    """For whom or what the job waits, since when, and where to give the answer (D5)."""
    waiting = Record.objects.filter(job_id=job.pk, status=RecordStatus.WAITING)
    groups = waiting.order_by().values("wait_kind").annotate(
        count=Count("pk"), first=Min("pk"), until=Min("wait_until")
    )  # fmt: skip
    found = []
    for group in groups[:5]:
        record = Record.objects.filter(pk=group["first"]).defer("values").first()
        entry = record.journey[-1] if record and record.journey else {}
        found.append({
            **group, "words": WAIT_WORDS.get(group["wait_kind"], "something"),
            "record_id": group["first"], "since": parse_datetime(entry.get("started_at", "")),
            "prompt": getattr(record, "wait_prompt", "") if record else "",
        })  # fmt: skip
    return found


def back_link(request: HttpRequest, job: Job) -> dict[str, str]:
    """The list this page was opened from: `from_status=failed` or `from=<its whole query>`."""
    query = request.GET.get("from", "")
    status = request.GET.get("from_status", "")
    if query:
        pairs = [(key, value) for key, value in parse_qsl(query) if key.isidentifier()]
    else:
        pairs = [("status", status)] if status in {*JobStatus.values, "active"} else []
    word = dict(pairs).get("status", "") if len(pairs) == 1 else ""
    url = reverse("jobs:list") + (f"?{urlencode(pairs)}" if pairs else "")
    return {
        "back_url": f"{url}#job-{job.pk}",
        "back_words": f"Back to {word} jobs" if word else "Back to jobs",
        "from_query": urlencode(
            {k: v for k, v in request.GET.items() if k in {"from", "from_status"}}
        ),
    }
