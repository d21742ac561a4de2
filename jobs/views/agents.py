"""Agents: who is there, what they do, and giving them work."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.generic import FormView, TemplateView

from accounts.models import Team
from accounts.permissions import Right
from accounts.templatetags.spindle import ago_words
from jobs.execution.dispatch import Refused, dispatch_workflow
from jobs.models import Agent, Job, Worker
from jobs.models.agents import AgentKind, is_silent
from jobs.rows import title_case
from jobs.statuses import Effort
from jobs.views.scope import TeamsScopeMixin
from projects.models import Pipeline, Project

MOST_JOBS_SHOWN = 5
TICKET_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*-\d+")


@dataclass(slots=True)
class AgentCard:
    agent: Agent
    state: str  # online, busy, draining, offline
    beat_at: datetime | None
    beat_words: str
    version: str
    jobs: list[Job]
    running_count: int
    can_administer: bool
    can_operate: bool

    @property
    def state_word(self) -> str:
        return self.state.capitalize()


class AgentListView(TeamsScopeMixin, TemplateView):
    template_name = "jobs/agent_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        agents = list(
            Agent.objects.filter(team_id__in=self.team_ids).select_related("team").order_by("name")
        )
        return super().get_context_data(
            cards=self._cards(agents),
            worker_count=Worker.objects.up().count(),
            workers=list(Worker.objects.order_by("name")[:50]),
            can_operate=bool(self.teams_with(Right.OPERATE)),
            can_administer=bool(self.teams_with(Right.ADMINISTER)),
            has_teams=len(self.team_ids) > 1,
            **kwargs,
        )

    def _cards(self, agents: list[Agent]) -> list[AgentCard]:
        """Five queries however many agents there are."""
        now = timezone.now()
        pool_beat = Worker.objects.aggregate(last=Max("last_heartbeat_at"))["last"]
        newest = Worker.objects.order_by("-last_heartbeat_at").first()
        running: dict[int, list[Job]] = {agent.pk: [] for agent in agents}
        for job in self.jobs.running().for_list().filter(agent_id__in=running).only(
            "id", "workflow_slug", "label", "ticket_key", "agent_id", "started_at"
        ).order_by("pk")[:1_000]:  # fmt: skip
            running[job.agent_id or 0].append(job)
        administered, operated = self.teams_with(Right.ADMINISTER), self.teams_with(Right.OPERATE)
        cards = []
        for agent in agents:
            is_pool = agent.kind == AgentKind.POOL
            beat = pool_beat if is_pool else agent.last_heartbeat_at
            jobs = running[agent.pk]
            for job in jobs:
                job.title = title_case(job.workflow_slug)  # type: ignore[attr-defined]
            version = agent.version or (newest.version if is_pool and newest else "")
            cards.append(
                AgentCard(
                    agent, state_of(agent, beat, len(jobs), now), beat,
                    ago_words((now - beat).total_seconds()) if beat else "never",
                    version, jobs[:MOST_JOBS_SHOWN], len(jobs),
                    agent.team_id in administered, agent.team_id in operated,
                )
            )  # fmt: skip
        return cards


def state_of(agent: Agent, beat: datetime | None, running_count: int, now: datetime) -> str:
    if is_silent(beat, now):
        return "offline"
    if agent.is_draining:
        return "draining"
    return "busy" if running_count >= agent.capacity else "online"


class AgentForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Agent
        fields = ["team", "name", "kind", "label", "capacity", "is_default", "is_draining"]
        labels = {
            "label": "Role", "is_draining": "Draining", "is_default": "Takes the team's spinner runs"
        }  # fmt: skip
        help_texts = {
            "capacity": "How many jobs it runs at once.",
            "is_default": "Worker pools only.",
            "is_draining": "It finishes what it has and takes no more.",
        }

    def __init__(self, *args: Any, teams: list[int], **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = Team.objects.filter(pk__in=teams)  # type: ignore[attr-defined]
        # Its jobs are done one way or the other, and those it has would be left lying.
        self.fields["kind"].disabled = self.instance.pk is not None
        self.fields["capacity"].min_value = 1  # type: ignore[attr-defined]
        self.fields["capacity"].widget.attrs.update(min=1, max=1000)
        if len(teams) == 1:
            self.fields["team"].initial = teams[0]
            self.fields["team"].widget = forms.HiddenInput()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("is_default") and cleaned.get("kind") == AgentKind.REMOTE:
            self.add_error("is_default", "Spinner runs need a worker pool.")
        return cleaned

    def clean_capacity(self) -> int:
        capacity: int = self.cleaned_data["capacity"]
        if not 1 <= capacity <= 1000:
            raise forms.ValidationError("Give a number from 1 to 1,000.")
        return capacity


class AgentEditView(TeamsScopeMixin, FormView):  # type: ignore[type-arg]
    """Add an agent, or change one; team admins only."""

    template_name = "jobs/agent_form.html"
    form_class = AgentForm
    agent: Agent | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return self.handle_no_permission()
        pk = kwargs.get("pk")
        if pk is not None:
            self.agent = Agent.objects.filter(pk=pk, team_id__in=self.team_ids).first()
            if self.agent is None:
                raise Http404("Not found.")
        administered = self.teams_with(Right.ADMINISTER)
        if not administered or (self.agent and self.agent.team_id not in administered):
            raise PermissionDenied("This needs the role Admin. Ask a team admin.")
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        teams = [self.agent.team_id] if self.agent else self.teams_with(Right.ADMINISTER)
        return {**super().get_form_kwargs(), "teams": teams, "instance": self.agent}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        address = (
            self.request.build_absolute_uri(reverse("api:agent_claim", args=[self.agent.pk]))
            if self.agent
            else ""
        )
        return super().get_context_data(
            agent=self.agent, api_address=address.removesuffix("claim"), **kwargs
        )

    def form_valid(self, form: AgentForm) -> HttpResponse:
        agent = form.save()
        if agent.is_default:
            Agent.objects.filter(team_id=agent.team_id).exclude(pk=agent.pk).update(
                is_default=False
            )
        messages.success(self.request, f"{agent.name} is saved.")
        return HttpResponseRedirect(reverse("jobs:agents"))


class RunWorkflowForm(forms.Form):
    """`pipelines`, `projects` and `agents` hold only what the user may start work with."""

    workflow = forms.ModelChoiceField(Pipeline.objects.none(), empty_label="Choose a workflow")
    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    agent = forms.ModelChoiceField(
        Agent.objects.none(), required=False, empty_label="Any free agent"
    )
    ticket_url = forms.URLField(
        label="Ticket URL", required=False, max_length=1000, assume_scheme="https",
        widget=forms.URLInput(attrs={"placeholder": "https://tracker.example.com/browse/SCRUM-329"}),
    )  # fmt: skip
    hint = forms.CharField(
        required=False, max_length=4_000, widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What the agent should know or look at first.",
    )  # fmt: skip
    effort = forms.ChoiceField(
        choices=[("", "The workflow's own"), *Effort.choices], required=False
    )
    launch_key = forms.CharField(widget=forms.HiddenInput, max_length=32)

    def __init__(self, *args: Any, teams: list[int], **kwargs: Any):
        super().__init__(*args, **kwargs)
        choices = {
            "workflow": Pipeline.objects.workflows().published().filter(team_id__in=teams),
            "project": Project.objects.filter(team_id__in=teams),
            "agent": Agent.objects.filter(team_id__in=teams),
        }
        for name, queryset in choices.items():
            self.fields[name].queryset = queryset  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        workflow = cleaned.get("workflow")
        for name in ("project", "agent"):
            chosen = cleaned.get(name)
            if workflow and chosen and chosen.team_id != workflow.team_id:
                self.add_error(name, f"Choose one of {workflow.team}, which owns the workflow.")
        return cleaned


class RunWorkflowView(TeamsScopeMixin, FormView):  # type: ignore[type-arg]
    """ "Run workflow", or "Run job" on one agent (`?agent=`): one form, sent once."""

    template_name = "jobs/agent_run.html"
    form_class = RunWorkflowForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and not self.teams_with(Right.OPERATE):
            raise PermissionDenied("This needs the role Operator or higher. Ask a team admin.")
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "teams": self.teams_with(Right.OPERATE)}

    def get_initial(self) -> dict[str, Any]:
        asked = {k: v for k, v in self.request.GET.items() if k in {"workflow", "agent", "project"}}
        return {**asked, "launch_key": uuid.uuid4().hex}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        form: RunWorkflowForm = context["form"]
        chosen = form["agent"].value()
        agents = form.fields["agent"].queryset  # type: ignore[attr-defined]
        agent = agents.filter(pk=chosen).first() if str(chosen or "").isdecimal() else None
        return {
            **context,
            "agent": agent,
            "has_workflows": form.fields["workflow"].queryset.exists(),  # type: ignore[attr-defined]
            "has_projects": form.fields["project"].queryset.exists(),  # type: ignore[attr-defined]
        }

    def form_valid(self, form: RunWorkflowForm) -> HttpResponse:
        cleaned = form.cleaned_data
        facts = {"ticket_url": cleaned["ticket_url"], "hint": cleaned["hint"].strip()}
        try:
            job = dispatch_workflow(
                cleaned["workflow"], self.actor, project=cleaned["project"],
                input={key: value for key, value in facts.items() if value},
                agent=cleaned["agent"], effort=cleaned["effort"], ticket_url=cleaned["ticket_url"],
                launch_key=f"run-{self.request.user.pk}-{cleaned['launch_key']}",
            )  # fmt: skip
        except Refused as refusal:
            form.add_error(None, str(refusal))
            return self.form_invalid(form)
        messages.success(self.request, f"Job #{job.pk} is queued.")
        return redirect(job)
