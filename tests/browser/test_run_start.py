"""Starting a run: what it will take, what the plan leaves, and for whom."""

import contextlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Error, Page, Route, expect

from accounts.models import Team, Usage, User
from accounts.usage import this_month
from jobs.models import Job, Worker
from projects.models import Contact, Pipeline, Project
from tests.browser.work import DONE, settled, start, step
from tests.processes.portal import Portal

pytestmark = pytest.mark.browser
AGED = [
    step("age", "set", fields=[{"name": "age", "template": "{{ contact.age }}", "type": "number"}]),
    DONE,
]


def test_a_plan_used_up_meanwhile_starts_nothing(
    page_as: Callable[..., Page],
    operator: User,
    team: Team,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """P1, P2: the forecast says what it takes; a colleague is quicker, and the start is refused
    with used, allowed, what fits and the day it resets. Then the forecast says it beforehand.
    """
    make_contacts(20)
    make_spinner()
    Team.objects.filter(pk=team.pk).update(monthly_record_limit=100)
    used = Usage.objects.create(team=team, month=this_month(), record_count=70, job_count=1)
    page = page_as(operator)
    page.goto(reverse("jobs:start_run", args=[project.slug]))
    page.get_by_role("button", name="See the forecast").click()
    expect(page.get_by_text("20 · one for each contact")).to_be_visible()
    expect(page.get_by_text("70 of 100 records used this month, so 30 more fit")).to_be_visible()
    assert not Job.objects.filter(project=project).exists()

    Usage.objects.filter(pk=used.pk).update(record_count=90)
    page.get_by_role("button", name="Start the run").click()
    refusal = page.get_by_role("alert")
    expect(refusal.get_by_role("heading")).to_have_text("Plan limit")
    facts = dict(
        zip(
            refusal.locator("dt").all_inner_texts(),
            refusal.locator("dd").all_inner_texts(),
            strict=True,
        )
    )
    resets = facts.pop("Resets on")
    assert facts == {
        "Limit": "Records a month", "Used": "90", "Allowed": "100", "Would still fit": "10 records"
    }  # fmt: skip
    assert resets.startswith("1 ")
    assert not Job.objects.filter(project=project).exists()
    used.refresh_from_db()
    assert (used.record_count, used.job_count) == (90, 1)

    page.get_by_role("link", name="Change the choices").last.click()
    page.get_by_role("button", name="See the forecast").click()
    expect(page.get_by_text("20 records are needed, 10 are left until 1 ")).to_be_visible()
    expect(page.get_by_role("button", name="Start the run")).to_be_disabled()


def test_a_run_waits_for_the_plan_and_starts_when_the_limit_is_raised(
    page_as: Callable[..., Page],
    operator: User,
    admin_member: User,
    team: Team,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """P3, P5: it says which limit holds it and who can change it; that admin raises it, and the
    run starts without being sent again.
    """
    make_contacts(20)
    make_spinner()
    Team.objects.filter(pk=team.pk).update(monthly_record_limit=30)
    Usage.objects.create(team=team, month=this_month(), record_count=25, job_count=1)
    page, admin = page_as(operator), page_as(admin_member)
    page.goto(reverse("jobs:start_run", args=[project.slug]))
    page.get_by_role("button", name="See the forecast").click()
    expect(page.get_by_role("button", name="Start the run")).to_be_disabled()
    page.get_by_role("button", name="Queue it until the plan has room").click()
    expect(page.get_by_text("waits for the plan with 20 contacts")).to_be_visible()
    why = page.locator("#run-records").get_by_text("Waits for the plan")
    expect(why).to_contain_text("it needs 20 records, and 5 of this month's 30 are left")
    expect(why).to_contain_text("as soon as an admin of the team (Ada Admin) raises the limit")
    run = Job.objects.get(project=project)

    admin.goto(reverse("accounts:team", args=[team.slug]))
    admin.get_by_label("Monthly record limit").fill("100")
    admin.get_by_role("button", name="Change the limits").click()
    settled(run)
    page.get_by_role("link", name="Refresh").click()
    expect(page.locator(f"#run-{run.pk}")).to_contain_text("Completed")
    usage = Usage.objects.get(team=team, month=this_month())
    assert (usage.job_count, usage.record_count) == (2, 45)


LAUNCH_TWICE = """
async ([url, fields, keys]) => {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  const launch = async (key) => {
    const body = new URLSearchParams({ ...fields, launch_key: key, csrfmiddlewaretoken: token });
    const answer = await fetch(url, { method: "POST", body, redirect: "manual" });
    return answer.type === "opaqueredirect" ? "started" : String(answer.status);
  };
  return (await Promise.all(keys.map(launch))).sort();
}
"""


def test_two_launches_never_pass_the_plan_together(
    page_as: Callable[..., Page],
    operator: User,
    team: Team,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """P4: two requests at once want the last hundred records of the plan, a hundred times over.
    One starts, the other gets the page of the plan's limit, and the plan is never passed.
    """
    make_contacts(100)
    spinner = make_spinner()
    page = page_as(operator)
    page.goto(reverse("jobs:start_run", args=[project.slug]))
    url = reverse("jobs:start_run_forecast", args=[project.slug])
    fields = {"spinner": spinner.pk, "contacts": "all"}
    for race in range(1, 101):
        Team.objects.filter(pk=team.pk).update(monthly_record_limit=race * 100)
        keys = [f"{team.slug}-{race}-{which}" for which in "ab"]
        assert page.evaluate(LAUNCH_TWICE, [url, fields, keys]) == ["409", "started"]
    usage = Usage.objects.get(team=team, month=this_month())
    runs = Job.objects.filter(project=project)
    assert (usage.record_count, usage.job_count) == (10_000, 100)
    assert (runs.count(), sum(runs.values_list("total_count", flat=True))) == (100, 10_000)


def test_only_those_that_failed_run_again(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """A run that completed with failures says so and leads to exactly these records; a new run
    is started over their contacts alone.
    """
    make_contacts(3, attributes={"age": "41"})
    make_contacts(2, attributes={"age": "unknown"})
    spinner = make_spinner(steps=AGED)
    first = settled(start(spinner, operator))
    page = page_as(operator)
    page.goto(reverse("jobs:runs", args=[project.slug]))
    expect(page.locator(f"#run-{first.pk} .pill.bad")).to_have_text("2 failed")
    page.get_by_role("link", name="2 records failed").click()
    names = page.locator("#run-records .contact .title")
    expect(names).to_have_text(["Contact 4", "Contact 5"])

    page.get_by_role("link", name="Start a run").click()
    page.get_by_label("Those that failed in an earlier run").check()
    page.get_by_label("Earlier run", exact=True).select_option(
        label=f"#{first.pk} {first.label}: 2 failed"
    )
    page.get_by_role("button", name="See the forecast").click()
    expect(page.get_by_text("2 · one for each contact")).to_be_visible()
    Contact.objects.filter(project=project, external_id="c-4").update(attributes={"age": "9"})
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_text("started over 2 contacts")).to_be_visible()
    second = settled(Job.objects.exclude(pk=first.pk).get(project=project))
    found = second.records.order_by("position").values_list("contact_name", "status")
    assert list(found) == [("Contact 4", "completed"), ("Contact 5", "failed")]


def test_a_saved_filter_leads_to_a_run_over_its_contacts(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """Saved under a name on the Contacts page, found there again, and started from there; the
    run is over those that match when it starts, not when the filter was saved.
    """
    make_contacts(4, attributes={"city": "Malmö"})
    make_contacts(3, attributes={"city": "Lund"})
    Project.objects.filter(pk=project.pk).update(contact_count=7)
    make_spinner()
    page = page_as(operator)
    page.goto(reverse("projects:contacts", args=[project.slug]))
    page.get_by_label("Attribute", exact=True).fill("city")
    page.get_by_label("Value of the attribute").fill("Malmö")
    # Leaving the field asks as well as the button does; the slower answer must not undo the next step.
    slow: list[Route] = []
    page.route("**/contacts?*", lambda route: route.continue_() if slow else slow.append(route))
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator(".contacts .row")).to_have_count(4)
    page.get_by_text("Save this filter").click()
    with contextlib.suppress(Error):  # given up by the page, as it should be
        slow[0].continue_()
    page.unroute("**/contacts?*")
    page.get_by_label("Name of the filter").fill("Customers in Malmö")
    page.get_by_role("button", name="Save", exact=True).click()
    saved = page.get_by_role("navigation", name="Saved filters").get_by_role("link")
    expect(saved).to_have_text(["Customers in Malmö"])
    make_contacts(1, attributes={"city": "Malmö"})

    page.goto(reverse("projects:contacts", args=[project.slug]))
    saved.click()
    expect(page.locator(".contacts .row")).to_have_count(5)
    page.get_by_role("link", name="Start a run with them").click()
    expect(page.get_by_label("A saved filter")).to_be_checked()
    page.get_by_role("button", name="See the forecast").click()
    expect(page.get_by_text("5 · one for each contact")).to_be_visible()


def test_without_a_worker_every_page_says_how_to_start_one(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    portal: Portal,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """Start a run, the forecast, Jobs and Live Ops; the last one takes it back by itself."""
    make_contacts(2)
    spinner = make_spinner()
    portal.kill_worker()
    # As it is after 45 seconds of silence.
    Worker.objects.update(last_heartbeat_at=timezone.now() - timedelta(minutes=2))
    page, ops = page_as(operator), page_as(operator)
    notice = "No worker is up: nothing moves"
    how = page.get_by_text("uv run manage.py up").first
    page.goto(reverse("jobs:start_run", args=[project.slug]))
    expect(page.get_by_text(notice)).to_be_visible()
    expect(how).to_be_visible()
    page.get_by_role("button", name="See the forecast").click()
    expect(page.get_by_text("none is up: the run will wait")).to_be_visible()
    expect(how).to_be_visible()

    run = start(spinner, operator)
    page.goto(reverse("jobs:runs", args=[project.slug]))
    expect(page.get_by_text(notice)).to_be_visible()
    expect(how).to_be_visible()
    ops.goto(reverse("jobs:live_ops", args=[project.slug]))
    expect(ops.get_by_text("Runtime down")).to_be_visible()
    expect(ops.get_by_text("uv run manage.py up")).to_be_visible()

    ops.evaluate("window.isTheSame = true")
    portal.start()
    expect(ops.get_by_text("Runtime up · 1 worker")).to_be_visible(timeout=60_000)
    expect(ops.get_by_text("uv run manage.py up")).to_have_count(0)
    assert ops.evaluate("window.isTheSame")
    settled(run)
    page.get_by_role("link", name="Refresh").click()
    expect(page.locator("#run-records").get_by_text("2 in all")).to_be_visible()
    expect(page.get_by_text(notice)).to_have_count(0)
