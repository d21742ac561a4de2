"""The notices of a job's end, made by whatever ends it, in the same transaction: none is lost.

It costs one statement where nobody is to be told, and two or three more where somebody is.
"""

from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from accounts.models import Membership, NoticeRule, NoticeRules
from config.prepared import Prepared
from jobs import clock
from jobs.models import Delivery, Follow, Job, Notice
from jobs.models.notices import Channel
from jobs.notices import hints
from jobs.statuses import JobStatus

COUNTS = ("total_count", "done_count", "failed_count", "uncertain_count")


class _Follower(NamedTuple):
    user_id: int
    in_app: str
    email: str
    slack: str


def _followers(job_id: int) -> QuerySet[Follow, tuple[object, ...]]:
    """Members who follow the job and were not told of it before, with the rules they set."""
    members = Membership.objects.filter(user_id=OuterRef("user_id"), team_id=OuterRef("job__team"))
    told = Notice.objects.filter(user_id=OuterRef("user_id"), job_id=OuterRef("job_id"))
    return (
        Follow.objects.filter(~Exists(told), Exists(members), job_id=job_id, user__is_active=True)
        .order_by("user_id")
        .values_list("user_id", *(f"user__notice_rules__{name}" for name in _Follower._fields[1:]))
    )


_FOLLOWERS = Prepared(_followers)


def make(job_id: int, status: str, *, by_user_id: int | None = None) -> int:
    """Tell who follows the job that it has ended so, by their rules; how many are told.

    `by_user_id` ended it by their own act, and needs no notice of it. Called by the transaction
    that has just closed the job, which holds its row: no two make notices of it at once.
    """
    followers = [_Follower._make(row) for row in _FOLLOWERS.rows(job_id=job_id)]
    others = [follower for follower in followers if follower.user_id != by_user_id]
    if not others:
        return 0
    job = Job.objects.only("team_id", *COUNTS).get(pk=job_id)
    is_failure = is_a_failure(status, job.failed_count, job.uncertain_count)
    now = clock.now()
    made: list[Notice] = []
    ways: list[tuple[int, str]] = []
    for follower in others:
        wanted = _wanted(follower, is_failure=is_failure)
        if not wanted:
            continue
        ways += [(follower.user_id, channel) for channel in wanted if channel in Channel.values]
        made.append(
            Notice(
                job_id=job_id, user_id=follower.user_id, team_id=job.team_id, status=status,
                created_at=now, read_at=None if "in_app" in wanted else now,
                **{name: getattr(job, name) for name in COUNTS},
            )
        )  # fmt: skip
    Notice.objects.bulk_create(made, ignore_conflicts=True)
    if ways:
        _hand_over(job_id, ways)
    return len(made)


def is_a_failure(status: str, failed_count: int, uncertain_count: int) -> bool:
    """A run that was completed with failed or uncertain records counts; a cancelled one does not."""
    if status == JobStatus.COMPLETED:
        return failed_count + uncertain_count > 0
    return status == JobStatus.FAILED


def default_rules() -> dict[str, str]:
    """Of who never set any. A mail that would only be printed in the log is nobody's default."""
    unset = NoticeRules()
    email = unset.email if settings.EMAIL_HOST else NoticeRule.NEVER
    return {"in_app": unset.in_app, "email": email, "slack": unset.slack}


def _wanted(follower: _Follower, *, is_failure: bool) -> list[str]:
    """Of "in_app", "email" and "slack", those the rules want; never set ones are the defaults."""
    holding = {NoticeRule.ALWAYS, NoticeRule.ON_FAILURE} if is_failure else {NoticeRule.ALWAYS}
    defaults = default_rules()
    rules = zip(defaults, follower[1:], strict=True)
    return [name for name, rule in rules if (rule or defaults[name]) in holding]


def _hand_over(job_id: int, ways: list[tuple[int, str]]) -> None:
    """Write down what is to be sent; a worker hears of it on commit, or the sweep finds it."""
    users = {user_id for user_id, _ in ways}
    notices = dict(
        Notice.objects.filter(job_id=job_id, user_id__in=users).values_list("user_id", "pk")
    )
    Delivery.objects.bulk_create(
        Delivery(notice_id=notices[user_id], user_id=user_id, channel=channel)
        for user_id, channel in ways
    )
    transaction.on_commit(hints.hint)
