"""Making and renaming projects."""

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from accounts import audit
from accounts.models import Team
from accounts.permissions import Actor
from projects.models import Project


def create_project(team: Team, actor: Actor, *, name: str) -> Project:
    """A project whose slug is its name's; a taken one (perhaps another team's) gets a number."""
    base = slugify(name)[:56] or "project"
    for number in range(1, 1_000):
        slug = base if number == 1 else f"{base}-{number}"
        try:
            with transaction.atomic():
                project = Project.objects.create(team=team, name=name, slug=slug)
                audit.record(team, actor, "project.created", name)
            return project
        except IntegrityError:
            continue
    raise RuntimeError(f"No free address for a project called {name!r}.")


@transaction.atomic
def rename_project(project: Project, actor: Actor, *, name: str) -> None:
    """The address stays, so that links hold."""
    old, project.name = project.name, name
    project.save(update_fields=["name"])
    audit.record(project.team, actor, "project.renamed", name, old=old, new=name)
