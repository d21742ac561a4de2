"""What a person has not read yet: the bell's number, and how it falls."""

from collections.abc import Collection
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import Membership, User
from accounts.permissions import roles_of, roles_of_user
from config.prepared import Prepared
from jobs.models import Notice

MOST_COUNTED = 100  # shown as "99+"

# At most a hundred entries of a small index, on every page.
_UNREAD = Prepared(
    lambda user_id, team_ids: (
        Notice.objects.filter(user_id=user_id, team_id__in=team_ids, read_at=None)
        .order_by()
        .values_list("pk")[:MOST_COUNTED]
    )
)


def unread_of(request: HttpRequest) -> int:
    """How many the signed-in user has not read, MOST_COUNTED at most; asked once a request."""
    if not hasattr(request, "_unread"):
        teams = sorted(roles_of(request))
        found = _UNREAD.rows(user_id=request.user.pk or 0, team_ids=teams) if teams else []
        request._unread = len(found)  # type: ignore[attr-defined]
    count: int = request._unread  # type: ignore[attr-defined]
    return count


def open_job(request: HttpRequest, job_id: int) -> None:
    """Whoever opens a job's page has read its notice. Costs nothing where all is read."""
    if not unread_of(request):
        return
    mine = Notice.objects.filter(job_id=job_id, user_id=request.user.pk or 0, read_at=None)
    if mine.update(read_at=timezone.now()):
        del request._unread  # type: ignore[attr-defined]


def read_all(user_id: int, team_ids: Collection[int], *, up_to: int) -> int:
    """Mark what was on the screen and older: what came since stays unread."""
    mine = Notice.objects.filter(user_id=user_id, team_id__in=team_ids, read_at=None, pk__lte=up_to)
    return mine.update(read_at=timezone.now())


def teams_of(user: User) -> set[int]:
    """Whose jobs the person may see now; none for a disabled account."""
    return set(roles_of_user(user))


def notices_of(user: Any, team_ids: Collection[int]) -> QuerySet[Notice]:
    """A person's notices of the teams they still belong to."""
    return (
        Notice.objects.filter(user_id=user.pk, team_id__in=team_ids)
        .select_related("job__project")
        .prefetch_related("deliveries")
        .only(
            "job__label", "job__ticket_key", "job__kind", "job__project__name",
            *(field.name for field in Notice._meta.concrete_fields),
        )
    )  # fmt: skip


def unread_counts(user_ids: Collection[int]) -> dict[int, int]:
    """By user, for open sockets; one query. Who is not named has read everything."""
    return dict(_unread_by_user().filter(user_id__in=user_ids))


def unread_of_told(job_ids: Collection[int]) -> dict[int, int]:
    """The same of those who have an unread notice of one of these jobs; one query."""
    told = Notice.objects.filter(job_id__in=job_ids, read_at=None).values("user_id")
    return dict(_unread_by_user().filter(user_id__in=told))


def _unread_by_user() -> QuerySet[Notice, tuple[int, int]]:
    members = Membership.objects.filter(user_id=OuterRef("user_id"), team_id=OuterRef("team_id"))
    unread = Notice.objects.filter(Exists(members), read_at=None)
    return unread.order_by().values_list("user_id").annotate(Count("pk"))
