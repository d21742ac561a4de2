"""Makes the demo in an empty portal, once; later starts only find it again."""

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.hashers import make_password
from django.db import transaction

from accounts.models import Membership, Role, Team, User
from accounts.permissions import Actor
from config.demo import activity, contacts, provider, spinners, workflows
from config.profiles import make_folder
from projects.contacts.rows import search_text
from projects.contacts.verbs import recount, save_filter, tag_contacts
from projects.models import Contact, Project
from projects.pipelines.drafts import create
from projects.publishing import publish

TEAM_SLUG = "northwind"
DOMAIN = "northwind.example"
PEOPLE = {
    "ada": ("Ada Admin", Role.ADMIN),
    "bo": ("Bo Builder", Role.BUILDER),
    "olu": ("Olu Operator", Role.OPERATOR),
    "vera": ("Vera Viewer", Role.VIEWER),
}
ADMIN = f"ada@{DOMAIN}"
PASSWORD_VARIABLE = "SPINDLE_DEMO_PASSWORD"  # noqa: S105 (a name)
FIRST_PROVIDER_PORT = 8090


@dataclass(frozen=True)
class Demo:
    """What to print, and the port the demo's provider is to listen on (0: there is no demo)."""

    sign_in: str = ""
    provider_port: int = 0


def ensure(data_dir: Path) -> Demo:
    """The demo, made now if the portal has no team at all yet."""
    if not Team.objects.exists():
        seed(password=password(data_dir), provider_port=provider_port(data_dir))
    admin = User.objects.filter(email=ADMIN, memberships__team__slug=TEAM_SLUG).first()
    if admin is None:
        return Demo()
    given = os.environ.get(PASSWORD_VARIABLE, "").strip()
    if given and not admin.check_password(given):
        for user in User.objects.filter(email__endswith=f"@{DOMAIN}"):
            user.set_password(given)
            user.save(update_fields=["password"])
        admin.refresh_from_db()
    shown = given or password(data_dir)
    known = f"password {shown}" if admin.check_password(shown) else "the password you chose"
    return Demo(f"Sign in as {ADMIN} with {known}", provider_port(data_dir))


def password(data_dir: Path) -> str:
    """SPINDLE_DEMO_PASSWORD, else one generated once and kept in the data folder."""
    given = os.environ.get(PASSWORD_VARIABLE, "").strip()
    return given or _kept(data_dir / "demo-password", lambda: secrets.token_urlsafe(9))


def provider_port(data_dir: Path) -> int:
    """Chosen once, since published spinners hold the provider's address."""
    return int(_kept(data_dir / "demo-provider-port", lambda: str(_free_port())))


@transaction.atomic
def seed(*, password: str, provider_port: int) -> Team:
    team = Team.objects.create(
        name="Northwind", slug=TEAM_SLUG, monthly_job_limit=500, monthly_record_limit=25_000
    )
    users = {}
    hashed = make_password(password)  # one costly hash for the four of them
    for key, (name, role) in PEOPLE.items():
        users[key] = User.objects.create(email=f"{key}@{DOMAIN}", password=hashed, name=name)
        Membership.objects.create(team=team, user=users[key], role=role)
    builder = Actor(user=users["bo"])
    renewals = Project.objects.create(team=team, name="Spring renewals", slug="spring-renewals")
    website = Project.objects.create(team=team, name="Website", slug="website")
    _make_contacts(renewals)
    _sort_contacts(renewals, builder)
    recount(website.pk)
    for name, description, definition in (
        (
            "Renewal reminder", "Tells each contact by message when their plan renews.",
            spinners.renewal_reminder(f"http://{provider.host(provider_port)}"),
        ),
        (
            "Enterprise offer", "Drafts an offer for keen enterprise contacts and asks a person.",
            spinners.enterprise_offer(),
        ),
        (
            "Engagement score", "Sorts contacts into keen, steady and quiet; calls nobody.",
            spinners.engagement_score(),
        ),
    ):  # fmt: skip
        spinner = create(
            renewals, builder, name=name, description=description, definition=definition
        )
        publish(spinner, builder, note="First version")
    workflows.make(team, builder)
    activity.make(team, Actor(user=users["olu"]), contacts_of=renewals, tickets_of=website)
    return team


def _make_contacts(project: Project) -> None:
    Contact.objects.bulk_create(
        Contact(
            project=project,
            search_text=search_text(
                name=fields["name"], email=fields["email"], phone=fields["phone"],
                external_id=fields["external_id"],
            ),
            **fields,
        )
        for fields in contacts.contacts()
    )  # fmt: skip
    recount(project.pk)


def _sort_contacts(project: Project, actor: Actor) -> None:
    """Two tags and two saved filters, as somebody who works with the contacts would have."""
    for tag, wanted in (
        ("key account", {"attributes__plan": "enterprise", "attributes__score__gte": 70}),
        ("newsletter", {"attributes__score__lt": 40}),
    ):
        tag_contacts(project, Contact.objects.filter(**wanted), name=tag)
    for name, querystring in (
        ("Enterprise plan", "attribute=plan&value=enterprise"),
        ("No phone number", "has_phone=no"),
    ):
        save_filter(project, actor, name=name, querystring=querystring)


def _kept(path: Path, make: Callable[[], str]) -> str:
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        text = make()
        file.write(text)
    return text


def _free_port() -> int:
    for port in (FIRST_PROVIDER_PORT, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return FIRST_PROVIDER_PORT
