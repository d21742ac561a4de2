"""What the commands around pipelines share: whose they are, and how problems are printed."""

from collections.abc import Iterable

from django.core.management.base import CommandError

from accounts.models import Team
from projects.models import Pipeline, PipelineKind, Project
from projects.pipelines.refusal import PipelineRefused
from projects.steps.validation import Problem


def find_owner(slug: str, *, is_workflow: bool) -> Project | Team:
    """The project of a spinner, or the team of a workflow, by its slug."""
    if is_workflow:
        team = Team.objects.filter(slug=slug).first()
        if team is None:
            raise CommandError(f"There is no team “{slug}”.")
        return team
    project = Project.objects.select_related("team").filter(slug=slug).first()
    if project is None:
        raise CommandError(f"There is no project “{slug}”. For a team's workflow add --workflow.")
    return project


def find_pipeline(owner: Project | Team, slug: str) -> Pipeline:
    if isinstance(owner, Project):
        found = Pipeline.objects.filter(kind=PipelineKind.SPINNER, project=owner, slug=slug)
    else:
        found = Pipeline.objects.filter(kind=PipelineKind.WORKFLOW, team=owner, slug=slug)
    pipeline = found.select_related("project", "team", "current_version").first()
    if pipeline is None:
        noun = "spinner" if isinstance(owner, Project) else "workflow"
        raise CommandError(f"{owner.name} has no {noun} “{slug}”.")
    return pipeline


def as_command_error(refused: PipelineRefused) -> CommandError:
    """The message, then one line a problem with step and field."""
    return CommandError("\n".join([refused.message, *problem_lines(refused.problems)]))


def problem_lines(problems: Iterable[Problem]) -> list[str]:
    return [f"  {problem}" for problem in problems]
