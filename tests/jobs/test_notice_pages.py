"""The bell, the page of one's notices, and the rules: each person's own, and nobody else's."""

import re

import pytest
from cryptography.fernet import Fernet
from django.core.cache import cache
from django.core.management import call_command
from django.urls import reverse

from accounts.models import Membership, NoticeRules
from jobs.models import Delivery, Follow, Job, Notice
from jobs.notices import rules
from tests.browser.receiver import Receiver

LIST, RULES = "/portal/notices", "/portal/profile/notices"
SLACK = "https://hooks.slack.com/services/T0/B0/CANARY"


@pytest.fixture
def make_notice(project, operator):
    def make(user=operator, project=project, **fields) -> Notice:
        job = Job.objects.create(
            team=project.team, project=project, kind="workflow", workflow_slug="qa", label="QA",
            name="qa — queued", status="completed", total_count=1, done_count=1,
            completed_at="2026-11-01T00:00Z",
        )  # fmt: skip
        return Notice.objects.create(
            job=job, user=user, team=project.team, **{"status": "completed", **fields}
        )

    return make


@pytest.fixture(autouse=True)
def no_test_was_just_sent():
    cache.clear()


def bell(client, url=RULES) -> tuple[str, str]:
    """(the number as shown, the accessible name)."""
    page = client.get(url).content.decode()
    number = re.search(r'data-bell-count aria-hidden="true"( hidden)?>(.*?)<', page)
    return (
        "" if number.group(1) else number.group(2),
        re.search(r"data-bell-words>(.*?)<", page).group(1),
    )


def body_of(client, url=LIST) -> str:
    return client.get(url).content.decode()


# --- The bell and the list ---------------------------------------------------------------------


def test_the_bell_counts_what_is_unread_in_words(as_user, operator, make_notice):
    """X6."""
    client = as_user(operator)
    assert bell(client) == ("", "No unread notices")
    make_notice()
    assert bell(client) == ("1", "1 unread notice")
    for _ in range(104):
        make_notice()
    assert bell(client) == ("99+", "99+ unread notices")


def test_a_notice_is_read_by_opening_its_job(as_user, operator, make_notice):
    """X6: the link leads to the job, and the count falls."""
    client = as_user(operator)
    first, _ = make_notice(), make_notice()
    page = body_of(client)
    assert page.count("is-unread") == 2
    assert f'href="/portal/jobs/{first.job_id}">QA completed</a>' in page
    assert bell(client, f"/portal/jobs/{first.job_id}") == ("1", "1 unread notice")
    assert body_of(client).count("is-unread") == 1


def test_a_poll_of_an_open_page_reads_nothing(as_user, operator, make_notice):
    """Nobody may be looking at it."""
    notice = make_notice()
    as_user(operator).get(f"/portal/jobs/{notice.job_id}?stamp=")
    notice.refresh_from_db()
    assert notice.read_at is None


def test_all_are_read_at_once_but_not_what_came_since(as_user, operator, make_notice):
    client = as_user(operator)
    first = make_notice()
    assert f'name="up_to" value="{first.pk}"' in body_of(client)
    make_notice()
    assert client.post("/portal/notices/read", {"up_to": first.pk}).status_code == 302
    assert bell(client) == ("1", "1 unread notice")
    client.post("/portal/notices/read", {"up_to": "x"})
    assert bell(client) == ("1", "1 unread notice")


def test_each_sees_their_own_of_the_teams_they_belong_to(
    as_user, operator, viewer, outsider, make_notice, other_project
):
    """X1, X6: a lost membership takes its notices away, from the count too."""
    mine = make_notice()
    theirs = make_notice(user=outsider, project=other_project)
    for user, own, foreign in ((operator, mine, theirs), (outsider, theirs, mine)):
        page = body_of(as_user(user))
        assert f"/portal/jobs/{own.job_id}" in page
        assert f"/portal/jobs/{foreign.job_id}" not in page
        as_user(user).get(f"/portal/jobs/{foreign.job_id}")
        as_user(user).post("/portal/notices/read", {"up_to": 0})
    assert "No notices yet" in body_of(as_user(viewer))
    as_user(viewer).post("/portal/notices/read", {"up_to": theirs.pk})
    assert Notice.objects.filter(read_at=None).count() == 2
    Membership.objects.filter(user=operator).delete()
    client = as_user(operator)
    assert bell(client) == ("", "No unread notices")
    assert "No notices yet" in body_of(client)


def test_the_list_goes_page_by_page_at_the_same_cost(
    as_user, operator, make_notice, django_assert_max_num_queries
):
    client = as_user(operator)
    for _ in range(3):
        Delivery.objects.create(notice=make_notice(), user=operator, channel="email")
    body_of(client)
    with django_assert_max_num_queries(9):
        body_of(client)
    for _ in range(60):
        make_notice()
    with django_assert_max_num_queries(9):
        page = body_of(client)
    assert page.count('class="notice-row') == 50
    older = re.search(r'rel="next" href="(\?after=\d+)"', page).group(1)
    assert body_of(client, LIST + older).count('class="notice-row') == 13


def test_the_bell_costs_a_page_one_query(
    as_user, operator, make_notice, django_assert_max_num_queries
):
    client = as_user(operator)
    make_notice()
    client.get(reverse("accounts:profile"))
    # Session, user, memberships, projects, active jobs, and this one.
    with django_assert_max_num_queries(6):
        client.get(reverse("accounts:profile"))


def test_status_is_a_word_and_a_shape(as_user, operator, make_notice):
    """J18."""
    make_notice(status="failed")
    page = body_of(as_user(operator))
    assert '<span class="dot failed" aria-hidden="true"></span>Failed' in page
    assert '<span class="visually-hidden">Unread</span>' in page


# --- Rules -------------------------------------------------------------------------------------


def sent(**changes) -> dict[str, str]:
    return {"in_app": "always", "email": "on_failure", "slack": "never", **changes}


def test_rules_begin_with_defaults_and_are_saved(as_user, viewer, settings):
    """X6: for everybody, viewers too."""
    settings.EMAIL_HOST = "mail.example"
    client = as_user(viewer)
    page = body_of(client, RULES)
    for name, rule in sent().items():
        select = page.split(f'name="{name}"')[1].split("</select>")[0]
        assert f'value="{rule}" selected' in select
    answer = client.post(RULES, sent(email="always", in_app="never"), follow=True)
    assert "Saved." in answer.content.decode()
    kept = NoticeRules.objects.get()
    assert (kept.user, kept.in_app, kept.email, kept.slack) == (viewer, "never", "always", "never")


def test_the_slack_address_is_kept_encrypted_and_never_shown(as_user, operator):
    """S09, X6."""
    client = as_user(operator)
    client.post(RULES, sent(slack="always", slack_url=SLACK))
    kept = NoticeRules.objects.get()
    assert b"CANARY" not in bytes(kept.slack_ciphertext)
    assert rules.slack_url_of(kept) == SLACK
    page = body_of(client, RULES)
    assert "CANARY" not in page
    assert "An address at hooks.slack.com is kept" in page
    client.post(RULES, sent(slack="on_failure"))
    assert rules.slack_url_of(NoticeRules.objects.get()) == SLACK
    client.post(RULES, sent(forget_slack="on"))
    assert rules.slack_url_of(NoticeRules.objects.get()) == ""


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "Enter the address first"),
        ("nonsense", "Only http and https"),
        ("ftp://hooks.slack.com/x", "Only http and https"),
        ("http://hooks.slack.com/x", "should begin with https://"),
        ("https://user:pw@hooks.slack.com/x", "must not hold a user name"),
        ("https://hooks.slack.com:22/x", "port 22 is not open"),
        ("https://10.0.0.5/x", "10.0.0.5 is not a public address"),
        ("https://169.254.169.254/x", "is not a public address"),
        ("https://[::1]/x", "is not a public address"),
    ],
)
def test_a_slack_address_that_may_not_be_called_is_refused_with_a_reason(
    as_user, operator, address, says
):
    """S03, X6."""
    answer = as_user(operator).post(RULES, sent(slack="always", slack_url=address))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert says.lower() in page.lower().replace("&#x27;", "'")
    assert not NoticeRules.objects.exists()
    assert not address or f'value="{address}"' not in page


def test_forgetting_the_address_while_slack_is_wanted_is_refused(as_user, operator):
    client = as_user(operator)
    client.post(RULES, sent(slack="always", slack_url=SLACK))
    page = client.post(RULES, sent(slack="always", forget_slack="on")).content.decode()
    assert "Enter the address first" in page
    page = client.post(RULES, sent(slack_url=SLACK, forget_slack="on")).content.decode()
    assert "Either forget the address or enter another one." in page
    assert rules.slack_url_of(NoticeRules.objects.get()) == SLACK


def test_a_test_goes_out_at_once_and_says_so(as_user, operator, settings, mailoutbox):
    """X6."""
    client = as_user(operator)
    settings.EMAIL_HOST = ""
    page = client.post(RULES, {"test": "email"}, follow=True).content.decode()
    assert f"A test was mailed to {operator.email}." in page
    assert mailoutbox[0].to == [operator.email]
    assert "you follow the job" not in mailoutbox[0].body
    assert RULES in mailoutbox[0].body
    page = client.post(RULES, {"test": "email"}, follow=True).content.decode()
    assert "Wait 10 seconds" in page
    assert len(mailoutbox) == 1
    assert not Notice.objects.exists()


def test_a_test_to_slack_says_what_slack_answered(as_user, operator, settings):
    receiver = Receiver()
    settings.INTERNAL_HOSTS = ["127.0.0.1"]
    client = as_user(operator)
    client.post(RULES, sent(slack="always", slack_url=f"{receiver.url}/hook"))
    page = client.post(RULES, {"test": "slack"}, follow=True).content.decode()
    assert "Slack took the test" in page
    cache.clear()
    receiver.answers["hook"] = (404, "no_service")
    page = client.post(RULES, {"test": "slack"}, follow=True).content.decode()
    assert "could not be sent: 127.0.0.1 answered 404" in page
    assert "no_service" in page
    assert receiver.count("hook") == 2
    receiver.end()
    cache.clear()
    client.post(RULES, sent(forget_slack="on"))
    page = client.post(RULES, {"test": "slack"}, follow=True).content.decode()
    assert "there is no Slack address" in page


def test_keys_of_slack_addresses_are_rotated(operator, settings, capsys):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.SECRETS_KEYS = [old]
    rules.save_rules(operator, in_app="always", email="never", slack="always", slack_url=SLACK)
    settings.SECRETS_KEYS = [new, old]
    call_command("rotate_secrets")
    settings.SECRETS_KEYS = [new]
    assert rules.slack_url_of(NoticeRules.objects.get()) == SLACK
    settings.SECRETS_KEYS = [old]
    assert rules.slack_url_of(NoticeRules.objects.get()) == ""


def test_following_is_not_shown_to_others(as_user, operator, viewer, make_notice):
    job = make_notice().job
    Follow.objects.create(job=job, user=operator)
    assert "Following" in body_of(as_user(operator), f"/portal/jobs/{job.pk}")
    assert "Following" not in body_of(as_user(viewer), f"/portal/jobs/{job.pk}")
