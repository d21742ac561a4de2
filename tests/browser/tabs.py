"""Pages with their indicators, for browser tests, and jobs whose rows a test changes itself."""

import json
from datetime import timedelta
from typing import Any

from django.utils import timezone
from playwright.sync_api import Page, WebSocket, expect

from jobs import events
from jobs.models import Job
from projects.models import Pipeline, PipelineVersion, Project

PAGE = "/portal/agents"
GATE = [{"name": "gate", "kind": "wait", "config": {"for": "approval", "prompt": "Ship it?"}}]
# A finished job leaves after five seconds; a busy machine may need longer to look at two tabs.
LINGER_LONGER = """
const later = window.setTimeout.bind(window);
window.setTimeout = (act, ms, ...rest) => later(act, ms === 5000 ? 12000 : ms, ...rest);
"""


def make_job(project: Project, **fields: Any) -> Job:
    return Job.objects.create(
        **{
            "team": project.team, "project": project, "kind": "workflow", "label": "SE Work",
            "workflow_slug": "se-work", "name": "se-work — queued", "status": "running",
            "started_at": timezone.now(), "total_count": 1,
            "planned_count": fields.get("total_count", 1),
            # Nobody works on it, and yet it is not silent while a test looks at it.
            "last_heartbeat_at": timezone.now() + timedelta(hours=1), **fields,
        }
    )  # fmt: skip


def make_workflow(project: Project, steps: list[dict[str, Any]] = GATE) -> Pipeline:
    """Published; as it is, it waits at a gate, so that a job stays where a test can look at it."""
    pipeline = Pipeline.objects.create(
        team=project.team, kind="workflow", name="QA validate", slug="qa-validate",
        job_type_slug="validating-gate", draft={"steps": steps},
    )  # fmt: skip
    pipeline.current_version = PipelineVersion.objects.create(
        pipeline=pipeline, number=1, definition={"steps": steps}
    )
    pipeline.save(update_fields=["current_version"])
    return pipeline


def change(job: Job, **fields: Any) -> None:
    """What a verb does: the row, then an event, which pushes."""
    Job.objects.filter(pk=job.pk).update(**fields)
    events.emit(job.pk, f"job.{fields['status']}")


class Tab:
    """A page with its indicators, and everything it sent and was sent."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.heard: list[dict[str, Any]] = []
        self.sent: list[str] = []
        self.requests: list[str] = []
        page.add_init_script(LINGER_LONGER)
        page.on("websocket", self._listen)
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(PAGE)
        self.is_live()
        self.requests.clear()

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda text: self._hear(json.loads(text)))
        socket.on("framesent", lambda text: self.sent.append(str(text)))

    def _hear(self, frame: Any) -> None:
        self.heard += frame if isinstance(frame, list) else [frame]

    def is_live(self, state: str = "connected", ms: int = 45_000) -> None:
        self.page.wait_for_selector(f"[data-health={state}]", timeout=ms)

    def open(self) -> None:
        self.page.locator(".active-jobs > summary").click()

    def says(self, text: str, ms: int = 45_000) -> None:
        expect(self.page.locator("[data-label]")).to_have_text(text, timeout=ms)

    def row(self, job: Job) -> Any:
        return self.page.locator(f"[data-panel] [data-job='{job.pk}']")


def ended(job: Job, text: str, *tabs: Tab) -> None:
    for one in tabs:
        expect(one.row(job)).to_contain_text(text)
