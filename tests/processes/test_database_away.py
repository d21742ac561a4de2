"""F08: PostgreSQL goes away again and again under a running portal. Only PostgreSQL can."""

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from tests.processes import crew as rig
from tests.processes.crew import MakeContacts, MakeSpinner, Provider, oracle, start, steps
from tests.processes.portal import Portal, Template, wait_until
from tests.processes.proxy import Proxy

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(os.environ["DATABASE_URL"]) as made:
        yield made


@pytest.fixture
def portal(portal_template: Template, proxy: Proxy, django_db_blocker: Any) -> Iterator[Portal]:
    """Its processes reach the database through the proxy, the test itself directly."""
    made = Portal(portal_template, workers=2, beat=False, env=rig.ENV)
    with django_db_blocker.unblock(), made.attached():
        made.env["DATABASE_URL"] = proxy.through(made.env["DATABASE_URL"])
        with made:
            yield made


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    made = Provider(tmp_path, delay_ms=200)
    yield made
    made.end()


class Visitor:
    """Signed in: every page, also that there is none, asks the database who this is."""

    def __init__(self, portal: Portal, user: User) -> None:
        client = Client()
        client.force_login(user)
        self.url = portal.url
        self.headers = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}

    def get(self, path: str) -> tuple[int, str]:
        request = urllib.request.Request(f"{self.url}{path}", headers=self.headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def test_postgresql_goes_away_again_and_again(
    portal: Portal,
    proxy: Proxy,
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    provider: Provider,
    viewer: User,
) -> None:
    """Unsafe calls, none in doubt and none twice: results wait for the database. Visitors read
    that it is away, and everybody finds it again alone."""
    make_contacts(800)
    visitor = Visitor(portal, viewer)
    job = start(make_spinner(steps(provider, "ask")))
    processes = portal.pids
    for done in (50, 200, 350):
        rig.until_done(job, done)
        proxy.cut()
        time.sleep(0.3)
        proxy.mend()
        assert visitor.get("/no-such-page")[0] == 404
    rig.until_done(job, 450)
    proxy.cut()
    began = time.monotonic()
    code, page = visitor.get("/portal/profile")
    assert (code, "The database does not answer" in page) == (503, True)
    assert time.monotonic() - began < 10  # one wait of 4 s, not one a query
    proxy.mend()
    wait_until(lambda: visitor.get("/no-such-page")[0] == 404, what="pages again")
    wait_until(lambda: rig.ended(job), rig.PATIENCE, what="the end of the run")
    oracle(job, provider.keys(job), unsafe=True)
    assert (job.status, job.done_count) == ("completed", 800)
    assert portal.pids == processes
    assert all(child.poll() is None for child in portal.running.values())
    assert not job.events.filter(kind="batch.lease_expired").exists()
