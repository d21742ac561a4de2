"""The cast: one team with every role, and an outsider in another team."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import Membership, Role, Team, User
from projects.models import Contact, Pipeline, PipelineKind, PipelineVersion, Project
from tests.processes import leftovers
from tests.processes.portal import Template
from tests.processes.up import Up


def pytest_configure() -> None:
    os.environ.setdefault("SPINDLE_BIND", "127.0.0.1")  # config/asgi.py asks who can reach it
    # Hundreds of users are made; one costly hash each would be most of the suite's time.
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    ]
    _put_sqlite_in_a_file()


def _put_sqlite_in_a_file() -> None:
    """Threads cannot share SQLite's memory: in a file, races are tested as on PostgreSQL.

    The file needs no safety from power cuts, so nothing waits for the disk.
    """
    for alias, database in settings.DATABASES.items():
        if "sqlite" not in database["ENGINE"]:
            continue
        file = settings.DATA_DIR / f"test-{alias}.sqlite3"
        database.setdefault("TEST", {})["NAME"] = str(file)
        options = database["OPTIONS"]
        options["init_command"] = options["init_command"].replace(
            "synchronous=FULL", "synchronous=OFF"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real processes and browsers come last: Playwright keeps an event loop running."""
    for item in items:
        alone = "processes" in item.keywords or "browser" in item.keywords
        if alone and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))
    items.sort(key=lambda item: ("processes" in item.keywords) + 2 * ("browser" in item.keywords))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In the gate a skipped test is a failure: what is not run is not known to work."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("SPINDLE_NO_SKIPS") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("Skipped tests count as failures here.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def portal_template() -> Iterator[Template]:
    template = Template()
    yield template
    template.drop()


@pytest.fixture
def start_up(portal_template: Template, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """`start_up("--workers", "2")` on this test's own folder and database."""
    name = leftovers.fresh_name("up")
    portal_template.copy(tmp_path, name)
    env = {**portal_template.env_for(tmp_path, name), "SPINDLE_KEY_PREFIX": f"{name}-"}
    started: list[Up] = []

    def start(*options: str, **more: str) -> Up:
        started.append(Up({**env, **more}, *options))
        return started[-1]

    yield start
    for up in started:
        if up.popen.poll() is None:
            up.end(signal.SIGKILL)
    portal_template.remove(tmp_path, name)


@pytest.fixture
def suffix() -> str:
    """Put behind slugs and addresses; browser tests share one database and need their own."""
    return ""


@pytest.fixture(autouse=True)
def in_memory_layer(settings: Any, request: pytest.FixtureRequest) -> None:
    """Tests inside one process need no layer between processes."""
    if "processes" in request.keywords or "browser" in request.keywords:
        return
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.fixture
def team(db: None, suffix: str) -> Team:
    return Team.objects.create(name="Northwind", slug=f"northwind{suffix}")


@pytest.fixture
def other_team(db: None, suffix: str) -> Team:
    return Team.objects.create(name="Southwind", slug=f"southwind{suffix}")


@pytest.fixture
def project(team: Team, suffix: str) -> Project:
    return Project.objects.create(team=team, name="Spring re-engagement", slug=f"spring{suffix}")


@pytest.fixture
def other_project(other_team: Team, suffix: str) -> Project:
    return Project.objects.create(team=other_team, name="Elsewhere", slug=f"elsewhere{suffix}")


def _member(team: Team, role: str, name: str, suffix: str) -> User:
    user = User.objects.create_user(
        f"{name.split()[0].lower()}{suffix}@example.com", "long-pass-phrase", name=name
    )
    Membership.objects.create(team=team, user=user, role=role)
    return user


@pytest.fixture
def admin_member(team: Team, suffix: str) -> User:
    return _member(team, Role.ADMIN, "Ada Admin", suffix)


@pytest.fixture
def builder(team: Team, suffix: str) -> User:
    return _member(team, Role.BUILDER, "Bo Builder", suffix)


@pytest.fixture
def operator(team: Team, suffix: str) -> User:
    return _member(team, Role.OPERATOR, "Olu Operator", suffix)


@pytest.fixture
def viewer(team: Team, suffix: str) -> User:
    return _member(team, Role.VIEWER, "Vera Viewer", suffix)


@pytest.fixture
def outsider(other_team: Team, suffix: str) -> User:
    """Has every right, but in another team."""
    return _member(other_team, Role.ADMIN, "Otto Outsider", suffix)


@pytest.fixture
def staff(db: None, suffix: str) -> User:
    return User.objects.create_superuser(
        f"staff{suffix}@example.com", "long-pass-phrase", name="Staff"
    )


@pytest.fixture
def as_user() -> Callable[[User], Client]:
    """A signed-in test client: `as_user(viewer).get(url)`."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def make_contacts(project: Project) -> Callable[..., list[Contact]]:
    """`make_contacts(5)`: contacts c-1 … c-5 with names, e-mails and phones."""

    def make(count: int, **fields: Any) -> list[Contact]:
        target = fields.pop("project", project)
        start = target.contacts.count() + 1
        return Contact.objects.bulk_create(
            Contact(
                project=target, external_id=f"c-{n}", name=f"Contact {n}",
                email=f"c{n}@example.com", phone=f"+4670000{n:04d}",
                search_text=f"contact {n} c{n}@example.com c-{n}",
                **{"attributes": {"plan": "pro" if n % 2 else "free"}, **fields},
            )
            for n in range(start, start + count)
        )  # fmt: skip

    return make


@pytest.fixture
def make_spinner(project: Project) -> Callable[..., Pipeline]:
    """`make_spinner(steps=[…])`: a published spinner; `publish=False` leaves a draft."""

    def make(steps: list[dict[str, Any]] | None = None, **fields: Any) -> Pipeline:
        publish = fields.pop("publish", True)
        definition = {"steps": steps if steps is not None else SIMPLE_STEPS}
        target = fields.pop("project", project)
        pipeline = Pipeline.objects.create(
            **{
                "team": fields.get("team") or target.team, "project": target, "kind": PipelineKind.SPINNER,
                "name": "Renewal reminder", "slug": "renewal-reminder",
                "job_type_slug": "spinner", "draft": definition, **fields,
            }
        )  # fmt: skip
        if publish:
            version = PipelineVersion.objects.create(
                pipeline=pipeline, number=1, definition=definition, published_by_name="Bo Builder"
            )
            pipeline.current_version = version
            pipeline.save(update_fields=["current_version"])
        return pipeline

    return make


SIMPLE_STEPS: list[dict[str, Any]] = [
    {
        "name": "compose",
        "kind": "template",
        "config": {"field": "message", "template": "Hi {{ contact.first_name }}"},
    },
    {"name": "record-outcome", "kind": "outcome", "config": {"outcome": "composed"}},
]
