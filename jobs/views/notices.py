"""Following a job, the page of one's notices, and the rules of when one is told."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View
from django.views.generic import TemplateView

from accounts.models import User
from accounts.permissions import Right
from jobs.forms.notice_rules import NoticeRulesForm
from jobs.notices import channels, following, reading, rules, words
from jobs.notices.words import headline
from jobs.querysets.keyset import page_of
from jobs.steps.clients import EffectError, NotSent
from jobs.views.scope import JobAccessMixin, TeamsScopeMixin

PAGE_SIZE = 50
SECONDS_BETWEEN_TESTS = 10


class FollowView(JobAccessMixin, View):
    """POST: follow the job (`follow=1`) or no more; for everybody who may see it."""

    required_right = Right.READ
    http_method_names = ["post"]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        assert isinstance(request.user, User)
        wants = request.POST.get("follow") == "1"
        (following.follow if wants else following.unfollow)(self.job.pk, request.user)
        if "HX-Request" in request.headers:
            context = {"job": self.job, "is_following": wants, "is_said": True}
            return render(request, "jobs/_job_follow.html", context)
        said = (
            f"You follow job #{self.job.pk}: you are told when it ends."
            if wants
            else f"You follow job #{self.job.pk} no more."
        )
        messages.success(request, said)
        return redirect("jobs:detail", self.job.pk)


class NoticeListView(TeamsScopeMixin, TemplateView):
    """The newest first; what was not read is marked. Opening a job's page reads its notice."""

    template_name = "jobs/notices.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        mine = reading.notices_of(self.request.user, self.team_ids)
        page = page_of(mine, ["-id"], self.request.GET, size=PAGE_SIZE)
        return super().get_context_data(
            page=page,
            rows=[
                {
                    "notice": notice, "headline": headline(notice),
                    "is_failure": words.is_failure(notice),
                    "deliveries": words.deliveries(notice),
                }
                for notice in page
            ],
            unread=reading.unread_of(self.request),
            newest=max((notice.pk for notice in page), default=0),
            **kwargs,
        )  # fmt: skip


class NoticesReadView(TeamsScopeMixin, View):
    """POST: all of one's notices up to `up_to` are read."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        up_to = request.POST.get("up_to", "")
        if up_to.isdecimal() and len(up_to) < 19:
            reading.read_all(request.user.pk or 0, self.team_ids, up_to=int(up_to))
        return redirect("jobs:notices")


class NoticeRulesView(LoginRequiredMixin, TemplateView):
    """One's own rules. `test=email` or `test=slack` sends a message there at once, and says so."""

    template_name = "jobs/notice_rules.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.person
        kept = rules.rules_of(user)
        return super().get_context_data(
            **{
                "form": NoticeRulesForm(kept=kept, email=user.email),
                "has_slack": kept.slack_ciphertext is not None,
                "has_mail_server": bool(settings.EMAIL_HOST),
                **kwargs,
            }
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        user = self.person
        if channel := request.POST.get("test"):
            self._test(user, channel)
            return redirect("jobs:notice_rules")
        form = NoticeRulesForm(request.POST, kept=rules.rules_of(user), email=user.email)
        if not form.is_valid():
            return self.render_to_response(self.get_context_data(form=form))
        rules.save_rules(user, **form.cleaned_data)
        messages.success(request, "Saved.")
        return redirect("jobs:notice_rules")

    @property
    def person(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user

    def _test(self, user: User, channel: str) -> None:
        sends = {"email": self._test_email, "slack": self._test_slack}.get(channel)
        if sends is None:
            return
        if not cache.add(f"notice-test:{user.pk}", 1, SECONDS_BETWEEN_TESTS):
            wait = f"Wait {SECONDS_BETWEEN_TESTS} seconds between two tests."
            messages.warning(self.request, wait)
            return
        try:
            messages.success(self.request, sends(user))
        except EffectError as error:
            surely = "" if isinstance(error, NotSent) else " It may have arrived all the same."
            text = f"The test could not be sent: {str(error).rstrip('.')}.{surely}"
            messages.error(self.request, text)

    def _test_email(self, user: User) -> str:
        channels.email(user, f"test-{uuid.uuid4().hex}", [])
        where = "" if settings.EMAIL_HOST else " It stands in the portal's log."
        return f"A test was mailed to {user.email}.{where}"

    def _test_slack(self, user: User) -> str:
        channels.slack(user, [])
        return "Slack took the test: look at the channel."
