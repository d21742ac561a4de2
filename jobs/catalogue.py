"""The rows of the catalogue of job types (SPEC section 5) as a fresh portal begins with.

(slug, mode, label, agent, trigger, typical seconds from, to, is_coding_task). The migration that
seeds them leaves a row alone that is already there: the admin's edits stand.
"""

from typing import NamedTuple


class CatalogueRow(NamedTuple):
    slug: str
    mode: str
    label: str
    agent_label: str
    trigger: str
    typical_min_seconds: int | None = None
    typical_max_seconds: int | None = None
    is_coding_task: bool = False


ARCHITECT, TECH_LEAD, TEAM_LEAD = "Architect", "Tech Lead", "Team Lead"
CODING, DEPLOY, DEVOPS, CONTENT = "Coding Agent", "Deploy Agent", "DevOps", "Content Agent"

ROWS = [
    CatalogueRow("processing-conversation", "Design", "Processing Conversation", ARCHITECT,
                 "A message to the Architect", 5, 20),
    CatalogueRow("generating-plan", "Design", "Generating Plan", ARCHITECT,
                 "“Generate Plan”", 120, 240),
    CatalogueRow("generating-milestones", "Design", "Generating Milestones", TECH_LEAD,
                 "The first milestone set", 30, 90),
    CatalogueRow("regenerating-milestones", "Design", "Regenerating Milestones", TECH_LEAD,
                 "“Regenerate milestones”", 30, 90),
    CatalogueRow("iterating-milestones", "Design", "Iterating Milestones", TECH_LEAD,
                 "Chat with the Tech Lead", 30, 90),
    CatalogueRow("generating-tasks", "Design", "Generating Tasks", TEAM_LEAD,
                 "Milestones broken into tasks", 30, 60),
    CatalogueRow("starting-development", "Design", "Starting Development", CODING,
                 "“Save & Start Development”"),
    CatalogueRow("developing-task", "Design", "Developing Task #{short_id}", CODING,
                 "Each coding task", 60, 600, is_coding_task=True),
    CatalogueRow("executing-code", "Develop", "Executing Code", CODING,
                 "A task queue's task or a task plan", 60, 600),
    CatalogueRow("generating-briefing", "Content", "Generating Briefing", CONTENT,
                 "A briefing that outlasts the chat turn"),
    CatalogueRow("generating-social-posts", "Content", "Generating Social Posts", CONTENT,
                 "Social posts that outlast the chat turn"),
    CatalogueRow("generating-changelog", "Content", "Generating Changelog", CONTENT,
                 "A changelog that outlasts the chat turn"),
    CatalogueRow("analyzing-codebase-for-deployment", "Deploy",
                 "Analyzing Codebase for Deployment", DEPLOY, "The start of the deploy pipeline"),
    CatalogueRow("analyzing-codebase", "Deploy", "Analyzing Codebase", DEPLOY,
                 "Re-analysis of a step"),
    CatalogueRow("deploy-assistant", "Deploy", "Deploy Assistant", DEPLOY,
                 "A chat turn with the Deploy Agent"),
    CatalogueRow("validating-gate", "Deploy", "Validating Gate", DEPLOY,
                 "A gate's result to check", 30, 300),
    CatalogueRow("analyzing-deployment", "Deploy", "Analyzing Deployment", DEVOPS,
                 "The infrastructure plan"),
    CatalogueRow("refining-deployment", "Deploy", "Refining Deployment", DEVOPS,
                 "Iterating on the configuration"),
    CatalogueRow("iterating-deployment", "Deploy", "Iterating Deployment", DEVOPS,
                 "Chat in mid-deployment"),
    CatalogueRow("deployment", "Deploy", "Deployment", DEPLOY, "A full deployment", 600, 1500),
    CatalogueRow("spinner", "Spinner", "Spinner", "Worker pool", "A run"),
    CatalogueRow("build", "Build", "Build", "", "A build another program reports"),
    CatalogueRow("run", "Run", "Server run", "", "A server run another program reports"),
]  # fmt: skip
