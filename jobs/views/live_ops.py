"""Live Ops: what runs, waits, stands still and fails in a project right now."""

from typing import Any

from django.views.generic import TemplateView

from jobs import ops, ops_charts
from projects.views.access import ProjectAccessMixin

BUSY_SECONDS = 5
IDLE_SECONDS = 30


class LiveOpsView(ProjectAccessMixin, TemplateView):
    """Page and fragment from one view: a poll asks for the fragment."""

    template_name = "jobs/live_ops.html"

    def get_template_names(self) -> list[str]:
        is_poll = self.request.headers.get("HX-Request") == "true"
        return ["jobs/_live_ops.html" if is_poll else self.template_name]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        state = ops.read(self.project)
        return super().get_context_data(
            ops=state,
            record_bars=ops_charts.record_bars(state),
            step_lines=[ops_charts.step_line(chart) for chart in state.steps],
            poll_seconds=BUSY_SECONDS if state.is_busy else IDLE_SECONDS,
            silent_count=sum(run.is_silent for run in state.still),
            **kwargs,
        )
