"""Who follows a job. Programs and Spindle itself follow nothing."""

from accounts.models import User
from accounts.permissions import Actor
from jobs.models import Follow


def begin(job_id: int, actor: Actor) -> None:
    """For the one who dispatches a new job, in the transaction that makes it."""
    if actor.user is not None:
        Follow.objects.create(job_id=job_id, user=actor.user)


def follow(job_id: int, user: User) -> None:
    """A second call changes nothing."""
    Follow.objects.bulk_create([Follow(job_id=job_id, user=user)], ignore_conflicts=True)


def unfollow(job_id: int, user: User) -> None:
    Follow.objects.filter(job_id=job_id, user=user).delete()


def is_following(job_id: int, user: User) -> bool:
    return Follow.objects.filter(job_id=job_id, user=user).exists()
