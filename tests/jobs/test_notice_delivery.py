"""E-mail and Slack: at most once, retried while surely nothing left, and what became of it is seen."""

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership, NoticeRules
from accounts.permissions import Actor
from jobs import tasks
from jobs.models import Delivery, Job, Notice
from jobs.models.notices import DeliveryStatus
from jobs.notices import channels, delivery, hints, rules
from tests.browser.receiver import Receiver
from tests.jobs.engine_rig import launch, work_off
from tests.jobs.mail_server import MailThread


@pytest.fixture
def mail(settings):
    server = MailThread()
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER, settings.BASE_URL = "", "https://spindle.example"
    yield server
    server.end()


class Slack(Receiver):
    """Keeps what it is sent; `answers["hook"]` as Receiver's."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        request.headers.replace_header("Content-Length", "0")
        self.texts.append(json.loads(body)["text"])
        super().answer(request)


@pytest.fixture
def slack(settings, operator):
    server = Slack()
    settings.INTERNAL_HOSTS = ["127.0.0.1"]
    settings.BASE_URL = "https://spindle.example"
    rules.save_rules(
        operator, in_app="always", email="never", slack="always",
        slack_url=f"{server.url}/services/T0/CANARY/hook",
    )  # fmt: skip
    yield server
    server.end()


@pytest.fixture
def ended(make_spinner, make_contacts, operator, monkeypatch):
    """`ended()`: a run of the operator's that has ended; nobody was told to deliver its notices."""
    monkeypatch.setattr(hints, "hint", lambda: None)

    def make(**fields) -> Job:
        if not Job.objects.exists():
            make_contacts(2)
            make.spinner = make_spinner(**fields)
        job = launch(make.spinner, Actor(user=operator))
        work_off(job)
        return job

    return make


@pytest.fixture
def mailed(operator, mail):
    rules.save_rules(operator, in_app="always", email="always", slack="never")
    return mail


def only() -> Delivery:
    return Delivery.objects.get()


def later(seconds: float) -> None:
    """As if so much time had passed."""
    for one in Delivery.objects.all():
        one.due_at -= timedelta(seconds=seconds)
        if one.claimed_at:
            one.claimed_at -= timedelta(seconds=seconds)
        one.save()


def test_a_mail_says_what_happened_and_links_to_the_job(mailed, ended, operator):
    """X6."""
    job = ended()
    assert delivery.deliver_due() == 1
    (message,) = mailed.received()
    assert message["Subject"] == "Renewal reminder completed — 2 records"
    assert message["To"] == f"Olu Operator <{operator.email}>"
    assert message["Message-ID"].startswith("<spindle-notice-")
    text = message.get_content()
    assert f"https://spindle.example/portal/jobs/{job.pk}\r\n" in text
    assert "https://spindle.example/portal/profile/notices" in text
    assert (only().status, only().attempt_count, only().error) == ("sent", 1, "")
    assert delivery.deliver_due() == 0
    assert len(mailed.messages) == 1


def test_a_notice_whose_message_was_lost_is_delivered_by_the_sweep(mailed, ended, monkeypatch):
    """X6: a crash between the end and the delivery loses nothing."""
    ended()
    asked = []
    monkeypatch.setattr(hints, "hint", lambda: asked.append(1))
    tasks.sweep()
    assert asked == [1]
    tasks.deliver_notices()
    assert len(mailed.messages) == 1
    tasks.sweep()
    assert asked == [1]


def test_the_end_of_a_job_wakes_the_delivery_on_commit(
    make_spinner, make_contacts, operator, monkeypatch, django_capture_on_commit_callbacks
):
    asked = []
    monkeypatch.setattr(hints, "hint", lambda: asked.append(1))
    rules.save_rules(operator, in_app="never", email="always", slack="never")
    make_contacts(1)
    job = launch(make_spinner(), Actor(user=operator))
    with django_capture_on_commit_callbacks(execute=True):
        work_off(job)
    assert asked == [1]


def test_what_another_worker_has_claimed_is_not_sent(mailed, ended):
    """X6: two deliveries at once send one mail."""
    ended()
    first = delivery._claim_next()
    assert first is not None
    assert delivery._claim_next() is None
    assert delivery.deliver_due() == 0
    assert delivery._deliver(first)
    assert not delivery._held(first).exists()
    assert len(mailed.messages) == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_deliver_at_the_same_time_send_each_notice_once(
    mail, project, operator, builder, viewer, admin_member
):
    """X6, on real connections."""
    people = (operator, builder, viewer, admin_member)
    for number in range(3):
        job = Job.objects.create(
            team=project.team, project=project, kind="build", label=f"Build {number}", name="b",
            status="failed",
        )  # fmt: skip
        for person in people:
            notice = Notice.objects.create(job=job, user=person, team=project.team, status="failed")
            Delivery.objects.create(notice=notice, user=person, channel="email")
    start = threading.Barrier(4)

    def work() -> None:
        try:
            start.wait(20)
            delivery.deliver_due()
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    text = "".join(message.get_content() for message in mail.received())
    assert Delivery.objects.filter(status="sent", attempt_count=1).count() == 12
    for job in Job.objects.all():
        assert text.count(f"/portal/jobs/{job.pk}\r\n") == len(people)


def test_a_worker_lost_while_sending_leaves_it_uncertain_and_never_twice(
    mailed, ended, as_user, operator
):
    """X6, F15."""
    ended()
    assert delivery._claim_next() is not None
    delivery.sweep()
    assert only().status == DeliveryStatus.SENDING
    later(delivery.LOST_AFTER.total_seconds() + 1)
    delivery.sweep()
    assert only().status == DeliveryStatus.UNCERTAIN
    assert delivery.deliver_due() == 0
    assert not mailed.messages
    page = as_user(operator).get(reverse("jobs:notices")).content.decode()
    assert "E-mail: may not have arrived. The worker was lost" in page


def test_a_server_that_refuses_for_now_is_tried_again_with_growing_pauses(
    mailed, ended, as_user, operator
):
    mailed.fails_at = ("RCPT", "450 later")
    ended()
    for tries, pause in enumerate(delivery.BACK_OFF, start=1):
        delivery.deliver_due()
        assert (only().status, only().attempt_count) == ("pending", tries)
        wait = (only().due_at - timezone.now()).total_seconds()
        assert pause - 5 < wait <= pause
        assert "450 later" in only().error
        later(max(pause, delivery.PAUSE.total_seconds()) + 1)
    delivery.deliver_due()
    assert (only().status, only().attempt_count) == ("failed", len(delivery.BACK_OFF) + 1)
    page = as_user(operator).get(reverse("jobs:notices")).content.decode()
    assert "E-mail: could not be delivered." in page
    assert "Tried 5 times." in page
    later(10_000)
    assert delivery.deliver_due() == 0


@pytest.mark.parametrize(
    ("fails_at", "status", "error"),
    [
        (("RCPT", "550 unknown"), "failed", "was refused: 550"),
        (("DOT", "drop"), "uncertain", "did not confirm the message"),
        (("DOT", "554 spam"), "failed", "554 spam"),
    ],
)
def test_refusals_and_doubt_end_it(mailed, ended, fails_at, status, error):
    """X6: what may have left is not sent again."""
    mailed.fails_at = fails_at
    ended()
    delivery.deliver_due()
    assert only().status == status
    assert error in only().error


def test_what_ends_within_a_minute_comes_in_one_mail(mailed, ended):
    """A thousand jobs are not a thousand mails; each notice is in one."""
    first = ended()
    delivery.deliver_due()
    others = [ended() for _ in range(3)]
    Notice.objects.filter(job=others[0]).update(failed_count=1)
    assert delivery.deliver_due() == 0
    later(delivery.PAUSE.total_seconds() + 1)
    assert delivery.deliver_due() == 1
    alone, together = mailed.received()
    assert f"/portal/jobs/{first.pk}\r\n" in alone.get_content()
    assert together["Subject"] == "3 jobs ended, 1 with failures"
    for job in others:
        assert f"/portal/jobs/{job.pk}\r\n" in together.get_content()
    assert set(Delivery.objects.values_list("status", flat=True)) == {"sent"}


def test_the_queries_of_a_message_do_not_grow_with_its_notices(mailed, ended):
    counts = []
    for number in (1, 5):
        for _ in range(number):
            ended()
        with CaptureQueriesContext(connection) as queries:
            assert delivery.deliver_due() == 1
        counts.append(len(queries))
        later(delivery.PAUSE.total_seconds() + 1)
    assert counts[0] == counts[1]


def test_who_has_left_the_team_is_sent_nothing(mailed, ended, operator):
    """X1, X6: asked at the delivery."""
    ended()
    Membership.objects.filter(user=operator).delete()
    assert delivery.deliver_due() == 0
    assert not mailed.messages
    assert (only().status, only().error) == ("failed", delivery.NO_MEMBER)


def test_without_a_mail_server_the_mail_is_printed(ended, operator, settings, mailoutbox):
    settings.EMAIL_HOST = ""
    rules.save_rules(operator, in_app="always", email="always", slack="never")
    ended()
    assert delivery.deliver_due() == 1
    assert mailoutbox[0].subject == "Renewal reminder completed — 2 records"


def test_private_input_stands_in_no_notice(
    mailed, make_spinner, team, project, operator, as_user, monkeypatch
):
    """X5."""
    from jobs.execution import dispatch

    monkeypatch.setattr(hints, "hint", lambda: None)
    workflow = make_spinner(kind="workflow", project=None, team=team, name="QA", slug="qa")
    job = dispatch.dispatch_workflow(
        workflow, Actor(user=operator), project=project, input={"api_token": "CANARY-7"}
    )
    work_off(job)
    delivery.deliver_due()
    assert len(mailed.messages) == 1
    assert b"CANARY-7" not in mailed.messages[0]
    assert "CANARY-7" not in as_user(operator).get(reverse("jobs:notices")).content.decode()


# --- Slack -------------------------------------------------------------------------------------


def test_slack_gets_one_message_with_a_link(slack, ended):
    """X6; names cannot break out of the link's words."""
    job = ended(name="A <b> & | c")
    assert delivery.deliver_due() == 1
    assert slack.texts == [
        f"<https://spindle.example/portal/jobs/{job.pk}|A &lt;b&gt; &amp; / c completed — 2 records>"
    ]
    assert only().status == "sent"


@pytest.mark.parametrize(
    ("answer", "status"),
    [(404, "failed"), (429, "pending"), (503, "pending"), (500, "uncertain"), (0, "uncertain")],
)
def test_slacks_answers_are_classed_by_what_may_have_arrived(slack, ended, answer, status):
    """X6: the address, which is a secret, stands in no error."""
    slack.answers["hook"] = (answer, "no CANARY service")
    ended()
    delivery.deliver_due()
    assert only().status == status
    assert "CANARY/hook" not in only().error
    assert len(slack.texts) == 1


def test_an_address_of_the_inside_network_is_not_called(slack, ended, settings):
    """S03: the guard looks at what is connected to, whatever was kept."""
    settings.INTERNAL_HOSTS = []
    ended()
    delivery.deliver_due()
    assert only().status == "failed"
    assert not slack.texts


def test_a_forgotten_address_ends_what_waits_for_it(slack, ended, operator):
    ended()
    rules.save_rules(operator, in_app="always", email="never", slack="never", forget_slack=True)
    assert NoticeRules.objects.get().slack_ciphertext is None
    delivery.deliver_due()
    assert only().error == "There is no Slack address (any more)."
    assert not slack.texts


def test_many_notices_are_listed_up_to_a_bound(slack, ended, operator):
    job = ended()
    notices = [Notice(job=job, user=operator, status="completed", total_count=1)] * 25
    text = channels._slack_text(notices)
    assert text.startswith("25 jobs ended\n")
    assert text.count("\n") == channels.LISTED + 1
    assert text.endswith("|5 more on your notices page>")
