"""Who follows a job, what they were told when it ended, and what was sent to them of it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Team
from jobs.models.jobs import Job
from jobs.statuses import JobStatus


class Follow(models.Model):
    """A person who wants to hear of a job's end: whoever dispatched it, and who pressed Follow."""

    # The constraint's index serves the job's key as well.
    job = models.ForeignKey(Job, models.CASCADE, related_name="follows", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "user"], name="follow_once")]

    def __str__(self) -> str:
        return f"{self.user} follows #{self.job_id}"


class Notice(models.Model):
    """What one person is told of one job's end: at most one, made in the transaction of the end.

    Status and counts are those of that moment; a retry may change the job afterwards. Who wants
    nothing in the portal has it as read from the beginning.
    """

    job = models.ForeignKey(Job, models.CASCADE, related_name="notices", db_index=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    team = models.ForeignKey(Team, models.CASCADE, related_name="+", db_index=False)
    status = models.CharField(max_length=10, choices=JobStatus.choices)
    total_count = models.PositiveIntegerField(default=0)
    done_count = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    uncertain_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["job", "user"], name="notice_once")]
        indexes = [
            models.Index(fields=["user", "-id"], name="notice_user_recent"),
            # Asked by every page: how many are unread.
            models.Index(fields=["user", "team"], condition=Q(read_at=None), name="notice_unread"),
        ]

    def __str__(self) -> str:
        return f"Notice of #{self.job_id} to {self.user}"


class Channel(models.TextChoices):
    EMAIL = "email", "E-mail"
    SLACK = "slack", "Slack"


class DeliveryStatus(models.TextChoices):
    """See the diagram in jobs/notices/delivery.py."""

    PENDING = "pending", "Pending"
    SENDING = "sending", "Sending"
    SENT = "sent", "Sent"
    FAILED = "failed", "Could not be delivered"
    UNCERTAIN = "uncertain", "May not have arrived"


class Delivery(models.Model):
    """A notice on its way out of the portal, by one channel."""

    notice = models.ForeignKey(Notice, models.CASCADE, related_name="deliveries", db_index=False)
    # The notice's: what waits for one person goes in one message.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    channel = models.CharField(max_length=10, choices=Channel.choices)
    status = models.CharField(
        max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING
    )
    attempt_count = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    claim_key = models.CharField(max_length=32, blank=True, editable=False)
    claimed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["notice", "channel"], name="delivery_once_a_channel")
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(status="pending"), name="delivery_due"),
            models.Index(
                fields=["claimed_at"], condition=Q(status="sending"), name="delivery_under_way"
            ),
            models.Index(fields=["user", "channel", "-claimed_at"], name="delivery_latest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} of notice {self.notice_id}"
