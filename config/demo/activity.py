"""The demo's first work: agents, and what they are given to do before anybody has signed in.

It is queued, not made up: the worker that starts with the portal does it, calls the provider and
fails where the provider refuses. So the first visitor finds runs to look at.
"""

from accounts.models import Team
from accounts.permissions import Actor
from jobs.execution.dispatch import dispatch_spinner, dispatch_workflow
from jobs.execution.selection import Selection
from jobs.models import Agent
from jobs.models.agents import AgentKind
from projects.models import Pipeline, Project

POOLS = [
    ("pool-eu", "Worker pool"),
    ("se-agent-01", "Coding Agent"),
    ("deploy-agent", "Deploy Agent"),
]
RUNS = [
    ("engagement-score", Selection()),
    ("enterprise-offer", Selection(kind="filter", filter={"attribute": "plan", "value": "enterprise"})),
    ("renewal-reminder", Selection()),
]  # fmt: skip
TICKETS = "https://tickets.northwind.example/browse"
WORK = [
    ("generate-plan", "pool-eu", "WEB-104", "Let customers pause their plan for a month"),
    ("se-work", "se-agent-01", "WEB-98", "The renewal date is a day off west of Greenwich"),
    ("deploy-preview", "deploy-agent", "WEB-98", "Preview for the support team"),
]


def make(team: Team, actor: Actor, *, contacts_of: Project, tickets_of: Project) -> None:
    """Called once, while the demo is made."""
    agents = {
        name: Agent.objects.create(
            team=team, name=name, label=label, kind=AgentKind.POOL, is_default=not number
        )
        for number, (name, label) in enumerate(POOLS)
    }
    pipelines = {pipeline.slug: pipeline for pipeline in Pipeline.objects.filter(team=team)}
    for slug, selection in RUNS:
        if selection.count(contacts_of):
            dispatch_spinner(pipelines[slug], actor, selection=selection)
    for slug, agent, ticket, hint in WORK:
        dispatch_workflow(
            pipelines[slug], actor, project=tickets_of, agent=agents[agent],
            input={"ticket_url": f"{TICKETS}/{ticket}", "hint": hint},
            ticket_url=f"{TICKETS}/{ticket}",
        )  # fmt: skip
