"""One portal for all browser tests; each test has a team, a project and users of its own."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from accounts.models import User
from tests.browser.receiver import Receiver
from tests.browser.tabs import Tab
from tests.processes.crew import Broker
from tests.processes.portal import Portal, Template

CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_numbers = itertools.count(1)
PATIENCE_MS = 45_000  # a busy machine is slow; conditions end earlier
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The portal's own, so that a test may take it away."""
    made = Broker(tmp_path_factory.mktemp("broker"))
    yield made
    made.end()


@pytest.fixture(scope="session")
def shared_portal(portal_template: Template, broker: Broker) -> Iterator[Portal]:
    env = {
        "SPINDLE_APPS": "tests.tracked_app",
        "SPINDLE_INTERNAL_HOSTS": "127.0.0.1",  # steps may call the test's receiver
        **broker.env,
    }
    with Portal(portal_template, workers=1, env=env) as portal:
        yield portal


@pytest.fixture
def portal(shared_portal: Portal, django_db_blocker: Any) -> Iterator[Portal]:
    shared_portal.start()
    with django_db_blocker.unblock(), shared_portal.attached():
        yield shared_portal


@pytest.fixture
def db(portal: Portal) -> None:
    """The cast's fixtures ask for a database: here it is the portal's."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.end()


@pytest.fixture
def suffix() -> str:
    """Keeps this test's team, project and users apart from the other tests'."""
    return f"-{next(_numbers)}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # Playwright's synchronous API keeps an event loop running in this thread.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    path = os.environ.get("SPINDLE_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def page_as(portal: Portal, browser: Browser) -> Iterator[Callable[..., Page]]:
    """`page_as(user)`: a page of a browser of its own, signed in; `page_as(None)`: signed out."""
    contexts: list[BrowserContext] = []

    def open_page(
        user: User | None,
        *,
        width: int = 1280,
        height: int = 800,
        dark: bool = False,
        **options: Any,
    ) -> Page:
        context = browser.new_context(
            base_url=portal.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        if user is not None:
            client = Client()
            client.force_login(user)
            name = settings.SESSION_COOKIE_NAME
            context.add_cookies(
                [{"name": name, "value": client.cookies[name].value, "url": portal.url}]
            )
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def tab(page_as: Callable[..., Page]) -> Callable[[User], Tab]:
    return lambda user: Tab(page_as(user))
