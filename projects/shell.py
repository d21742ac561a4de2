"""What the sidebar holds: the projects a person may see, the current one, and the links.

A link whose page does not exist is not shown. Counts come from maintained numbers only.
"""

from itertools import groupby
from typing import Any

from django.http import HttpRequest
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import NoReverseMatch, reverse

from accounts.models import Membership, Role
from projects.models import Project

# Label, URL name, icon, and the key that goes there after "g".
PORTAL = (
    ("Chat", "jobs:chat", "chat", "c"),
    ("Agents", "jobs:agents", "agents", "a"),
    ("Jobs", "jobs:list", "list", "j"),
    ("Queue", "jobs:queue", "queue", "q"),
    ("Automations", "jobs:automations", "bolt", "u"),
    ("Workflows", "projects:workflows", "flow", "w"),
    ("Settings", "accounts:settings", "settings", "s"),
)
PROJECT = (
    ("Live Ops", "jobs:live_ops", "ops", "l"),
    ("Jobs", "jobs:runs", "list", "r"),
    ("Records", "jobs:records", "records", "e"),
    ("Contacts", "projects:contacts", "person", "o"),
    ("Spinners", "projects:spinners", "brand", "p"),
)
SESSION_KEY = "project"


def current_project(request: HttpRequest, projects: list[Project]) -> Project | None:
    """The project in the address, else the one last looked at, else the first."""
    match = request.resolver_match
    named = match.kwargs.get("slug") or match.kwargs.get("owner") if match else None
    wanted = named if any(p.slug == named for p in projects) else request.session.get(SESSION_KEY)
    found = next((p for p in projects if p.slug == wanted), projects[0] if projects else None)
    if found and request.session.get(SESSION_KEY) != found.slug:
        request.session[SESSION_KEY] = found.slug
    return found


def shell(request: HttpRequest) -> dict[str, Any]:
    user = request.user
    if not user.is_authenticated or "HX-Request" in request.headers:
        return {}
    roles = dict(Membership.objects.filter(user=user).values_list("team_id", "role"))
    projects = list(
        Project.objects.filter(team_id__in=roles)
        .select_related("team")
        .order_by("team__name", "team_id", "name")
    )
    project = current_project(request, projects)
    role = roles.get(project.team_id) if project else next(iter(roles.values()), None)
    return {
        "project": project,
        "projects": [
            {
                "team": team,
                "projects": [{"id": p.pk, "name": p.name, "url": _home_of(p)} for p in group],
            }
            for team, group in groupby(projects, key=lambda p: p.team.name)
        ],
        "role_label": Role(role).label if role else "",
        "portal_links": _links(request, PORTAL),
        "project_links": _links(request, PROJECT, project) if project else [],
        "user_links": _links(request, (("Profile", "accounts:profile", "", ""),)),
        "has_live": _has_live(),
    }


def _links(
    request: HttpRequest,
    links: tuple[tuple[str, str, str, str], ...],
    project: Project | None = None,
) -> list[dict[str, Any]]:
    found = []
    for label, name, icon, key in links:
        try:
            url = reverse(name, args=[project.slug] if project else [])
        except NoReverseMatch:
            continue
        count = project.contact_count if project and name == "projects:contacts" else None
        is_current = request.path == url or request.path.startswith(url.rstrip("/") + "/")
        found.append(
            {
                "label": label,
                "url": url,
                "icon": icon,
                "go": key,
                "count": count,
                "is_current": is_current,
            }
        )
    return found


def _home_of(project: Project) -> str:
    try:
        return project.get_absolute_url()
    except NoReverseMatch:
        return reverse("projects:contacts", args=[project.slug])


def _has_live() -> bool:
    try:
        get_template("components/_active_jobs.html")
        reverse("jobs:list"), reverse("jobs:detail", args=[1])
    except (TemplateDoesNotExist, NoReverseMatch):
        return False
    return True
