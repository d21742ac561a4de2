"""The rig's own promises, on which every test of real processes leans."""

import os

import pytest

from accounts.models import Team
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
