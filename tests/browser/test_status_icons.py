"""No two statuses look alike once their colours are gone (J18)."""

import base64
import itertools
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from jobs.live import facts
from jobs.models import Job
from jobs.statuses import RecordStatus
from projects.models import Project

pytestmark = pytest.mark.browser

SHAPES = [*RecordStatus.values, "cancelling", "not_reached"]
# Paints the dot of a class on white, every colour of a status being black, and nothing moving.
PAINT = """(shape) => {
  for (const token of ["--run", "--ok", "--bad", "--warn", "--idle"]) {
    document.documentElement.style.setProperty(token, "#000");
  }
  document.getElementById("shape-box")?.remove();
  const box = document.createElement("div");
  box.id = "shape-box";
  Object.assign(box.style, { position: "fixed", inset: "0 auto auto 0", width: "24px",
    height: "24px", background: "#fff", zIndex: 999, display: "grid", placeItems: "center" });
  const dot = document.createElement("span");
  dot.className = `dot ${shape}`;
  dot.style.animation = "none";
  box.append(dot);
  document.body.append(box);
}"""
# How many of the pixels that either picture darkens are darkened by only one of them.
DIFFERENCE = """async ([left, right]) => {
  const pixels = async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.width; canvas.height = image.height;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height).data;
  };
  const [a, b] = [await pixels(left), await pixels(right)];
  let either = 0, one = 0;
  for (let at = 0; at < a.length; at += 4) {
    const [isLeft, isRight] = [a[at] < 128, b[at] < 128];
    either += isLeft || isRight; one += isLeft !== isRight;
  }
  return one / Math.max(either, 1);
}"""


def test_every_icon_has_a_shape_of_its_own(page_as: Callable[..., Page], viewer: User) -> None:
    """J18: in one colour, each pair differs in a sixth of what is dark at least."""
    page = page_as(viewer, device_scale_factor=4)
    page.goto("/portal/jobs")
    pictures = {}
    for shape in SHAPES:
        page.evaluate(PAINT, shape)
        picture = page.locator("#shape-box").screenshot()
        pictures[shape] = base64.b64encode(picture).decode()
    page.goto("about:blank")
    alike = {
        (one, other): share
        for one, other in itertools.combinations(SHAPES, 2)
        if (share := page.evaluate(DIFFERENCE, [pictures[one], pictures[other]])) < 1 / 6
    }
    assert not alike


def test_the_panel_draws_an_icon_of_its_own_for_each_status(
    page_as: Callable[..., Page], viewer: User, project: Project
) -> None:
    """J18: also a job that is being cancelled."""
    made = [
        Job.objects.create(
            team=project.team, project=project, kind="run", label="Server", name="server",
            total_count=1, status=status,
        )
        for status in ("running", "pending", "waiting", "running")
    ]  # fmt: skip
    page = page_as(viewer)
    page.goto("/portal/agents")
    expect(page.locator("[data-health]")).to_have_attribute("data-health", "connected")
    page.locator(".active-jobs > summary").click()
    icons = page.locator(".active-jobs .job-icon")
    expect(icons).to_have_count(4)
    # As the socket would say it: a wish in the database would end the job at once, as nobody is on it.
    page.evaluate(
        """(job) => {
          const all = { running: 2, waiting: 1, pending: 1 };
          const detail = { ...job, cancelling: true, v: job.v + 1, all, in_project: 4 };
          document.dispatchEvent(new CustomEvent("spindle:job", { detail }));
        }""",
        facts.load(Job.objects.filter(pk=made[-1].pk))[0],
    )
    expect(icons.nth(1)).to_have_attribute("aria-label", "Cancelling")
    words = icons.evaluate_all("found => found.map((icon) => icon.getAttribute('aria-label'))")
    assert sorted(words) == ["Cancelling", "Queued", "Running", "Waiting"]
    paths = icons.evaluate_all("found => found.map((icon) => icon.innerHTML)")
    assert len(set(paths)) == 4
