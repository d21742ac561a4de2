"""The rig's own promises, on which every test of real processes leans."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
from django.db import transaction
from django.test import Client

from accounts.models import Team, User
from projects.models import Project
from tests.processes.portal import Portal, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def test_a_portal_answers_keeps_its_rows_and_leaves_nothing(
    portal: Portal, project: Project
) -> None:
    assert set(portal.pids) == {"web", "worker-1", "beat"}
    assert portal.shell(
        "import json; from projects.models import Project;"
        "print(json.dumps([p.name for p in Project.objects.all()]))"
    ) == [project.name]
    portal.kill_worker()
    assert "worker-1" not in portal.pids
    portal.start()
    pids = portal.pids.values()
    portal.stop()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    assert Team.objects.count() == 1


@pytest.mark.parametrize("portal", [{"workers": 0, "beat": False}], indirect=True)
def test_a_web_process_told_to_end_answers_first(portal: Portal, viewer: User) -> None:
    """F04: a change that waits for a lock as SIGTERM comes is made, and its sender is told."""
    client = Client()
    client.force_login(viewer)
    client.get("/portal/profile")
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        "X-CSRFToken": cookies["csrftoken"], "Content-Type": "application/x-www-form-urlencoded",
    }  # fmt: skip

    def send() -> int:
        connection = HTTPConnection(portal.url.removeprefix("http://"), timeout=60)
        connection.request("POST", "/portal/profile", "name=Vera+Later&time_zone=", headers)
        return connection.getresponse().status

    web = portal.running.pop("web")
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            User.objects.filter(pk=viewer.pk).update(name="Vera Before")
            asked = pool.submit(send)
            time.sleep(1)
            web.terminate()
            time.sleep(0.5)
        assert asked.result(60) == 302
    assert web.wait(60) == 0
    viewer.refresh_from_db()
    assert viewer.name == "Vera Later"
