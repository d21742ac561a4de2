"""E-mail and Slack: each notice leaves at most once, and what became of it stands in its row.

    PENDING ──(a) claimed, before anything is sent──▶ SENDING ──(b) taken──▶ SENT
       ▲                                                │ ├─(d) refused, or no tries left──▶ FAILED
       └──(c) surely not sent, tries left: later────────┘ └─(e) may have left, worker lost──▶ UNCERTAIN

(a) is one conditional UPDATE. A first notice leaves at once; what follows for the same person and
channel within PAUSE waits and leaves together, so that a thousand jobs are not a thousand mails.
"""

import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F, Max, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from jobs.models import Delivery, Notice
from jobs.models.notices import Channel, DeliveryStatus
from jobs.notices import channels, hints, reading
from jobs.steps.clients import MaybeSent, NotSent

log = logging.getLogger("spindle.notices")

PAUSE = timedelta(seconds=60)
MOST_TOGETHER = 500
BACK_OFF = (30, 120, 480, 1_800)  # seconds after each try that surely sent nothing
TASK_SECONDS = 60.0
# Longer than Celery lets any task live.
LOST_AFTER = timedelta(minutes=5)
NO_MEMBER = "You are no longer a member of the job's team."
LOST = "The worker was lost while it was sent. It may have arrived, so it is not sent again."


@dataclass(slots=True)
class Claim:
    key: str
    user: User
    channel: str
    deliveries: list[Delivery]


def deliver_due(*, seconds: float = TASK_SECONDS) -> int:
    """Send what is due, message by message; how many left. Called by the task, any number at once."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end and _due().exists():
        claim = _claim_next()
        if claim is not None:
            count += _deliver(claim)
    return count


def sweep() -> None:
    """By beat: what a lost worker was sending, and what no message told of."""
    lost = Delivery.objects.filter(status=DeliveryStatus.SENDING, claimed_at__lt=Now() - LOST_AFTER)
    lost.update(status=DeliveryStatus.UNCERTAIN, ended_at=Now(), error=LOST)
    if _due().exists():
        hints.hint()


def _due() -> QuerySet[Delivery]:
    return Delivery.objects.filter(status=DeliveryStatus.PENDING, due_at__lte=Now())


def _claim_next() -> Claim | None:
    """Everything due for the person and channel that wait longest; None where they must wait on."""
    first = _due().order_by("due_at").values_list("user_id", "channel").first()
    if first is None:
        return None
    user_id, channel = first
    theirs = _due().filter(user_id=user_id, channel=channel)
    latest = Delivery.objects.filter(user_id=user_id, channel=channel, claimed_at__isnull=False)
    last = latest.filter(claimed_at__gt=Now() - PAUSE).aggregate(at=Max("claimed_at"))["at"]
    if last is not None:
        theirs.update(due_at=last + PAUSE)
        return None
    key = uuid.uuid4().hex
    ids = list(theirs.order_by("pk").values_list("pk", flat=True)[:MOST_TOGETHER])
    theirs.filter(pk__in=ids).update(
        status=DeliveryStatus.SENDING, claim_key=key, claimed_at=Now(),
        attempt_count=F("attempt_count") + 1,
    )  # fmt: skip
    held = Delivery.objects.filter(claim_key=key, status=DeliveryStatus.SENDING)
    deliveries = list(held.select_related("user", "notice__job__project").order_by("pk"))
    if not deliveries:
        return None  # another worker was quicker
    return Claim(key, deliveries[0].user, channel, deliveries)


def _deliver(claim: Claim) -> bool:
    """Send one message about what its reader may still see; True when it was taken."""
    teams = reading.teams_of(claim.user)
    notices = [d.notice for d in claim.deliveries if d.notice.team_id in teams]
    gone = [d.pk for d in claim.deliveries if d.notice.team_id not in teams]
    _end(claim, DeliveryStatus.FAILED, NO_MEMBER, only=gone)
    if not notices:
        return False
    try:
        _send(claim.user, claim.channel, claim.key, notices)
    except NotSent as error:
        _not_sent(claim, error)
        return False
    except MaybeSent as error:
        _end(claim, DeliveryStatus.UNCERTAIN, f"{_sentence(error)} It is not sent again.")
        return False
    except Exception as error:
        # Nobody knows how far it came, so nobody sends it again.
        log.exception("A notice was not delivered.")
        _end(claim, DeliveryStatus.UNCERTAIN, f"An error of Spindle's own: {type(error).__name__}.")
        return False
    _end(claim, DeliveryStatus.SENT, "")
    return True


def _send(user: User, channel: str, key: str, notices: Sequence[Notice]) -> None:
    if channel == Channel.EMAIL:
        channels.email(user, key, notices)
    else:
        channels.slack(user, notices)


def _not_sent(claim: Claim, error: NotSent) -> None:
    tries = max(delivery.attempt_count for delivery in claim.deliveries)
    if error.is_final or tries > len(BACK_OFF):
        words = f" Tried {tries} times." if tries > 1 else ""
        _end(claim, DeliveryStatus.FAILED, f"{_sentence(error)}{words}")
        return
    _held(claim).update(
        status=DeliveryStatus.PENDING, error=_sentence(error)[:300], claim_key="",
        due_at=Now() + timedelta(seconds=BACK_OFF[tries - 1]),
    )  # fmt: skip


def _end(claim: Claim, status: str, error: str, *, only: Sequence[int] | None = None) -> None:
    held = _held(claim) if only is None else _held(claim).filter(pk__in=only)
    held.update(status=status, ended_at=Now(), error=error[:300])


def _held(claim: Claim) -> QuerySet[Delivery]:
    return Delivery.objects.filter(claim_key=claim.key, status=DeliveryStatus.SENDING)


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
