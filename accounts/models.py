"""Who uses the portal, and the team that owns everything they see."""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone


class UserManager(DjangoUserManager["User"]):
    """Users are named by e-mail alone."""

    def _create(self, email: str, password: str | None, **fields: object) -> "User":
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":  # type: ignore[override]
        return self._create(email, password, **fields)

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":  # type: ignore[override]
        return self._create(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractUser):
    username = None  # type: ignore[assignment]
    email = models.EmailField("e-mail", unique=True)
    name = models.CharField(max_length=150, blank=True)
    time_zone = models.CharField(max_length=64, blank=True, help_text="Empty: the portal's zone.")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[misc,assignment]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_ci_unique")]

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        return self.name or self.email.partition("@")[0]

    @property
    def initials(self) -> str:
        words = self.display_name.replace(".", " ").split()
        return "".join(word[0] for word in words[:2]).upper() or "?"

    def get_full_name(self) -> str:
        return self.display_name

    def get_short_name(self) -> str:
        return self.display_name


class TeamQuerySet(models.QuerySet["Team"]):
    def visible_to(self, user: object) -> Self:
        """Teams the user is an active member of; nothing for a signed-out or disabled user."""
        if not getattr(user, "is_authenticated", False) or not getattr(user, "is_active", False):
            return self.none()
        return self.filter(memberships__user=user)


class Team(models.Model):
    """The owner of everything. A limit that is empty does not hold."""

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=64, unique=True)
    monthly_job_limit = models.PositiveIntegerField(null=True, blank=True)
    monthly_record_limit = models.PositiveBigIntegerField(null=True, blank=True)
    journey_retention_days = models.PositiveIntegerField(null=True, blank=True)
    event_retention_days = models.PositiveIntegerField(null=True, blank=True)
    record_retention_days = models.PositiveIntegerField(null=True, blank=True)
    # Raised by every change of memberships, so that open sockets check their rights again.
    rights_version = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Retention(models.Model):
    """How far a team's retention rules have come: written by the rounds of pruning."""

    team = models.OneToOneField(Team, models.CASCADE, primary_key=True, related_name="retention")
    changed_at = models.DateTimeField(null=True, blank=True)
    round_at = models.DateTimeField(null=True, blank=True)
    is_behind = models.BooleanField(default=False, help_text="The last round left work over.")
    # The last round in which something went, and how much.
    pruned_at = models.DateTimeField(null=True, blank=True)
    journey_count = models.PositiveIntegerField(default=0)
    event_count = models.PositiveIntegerField(default=0)
    record_count = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"Retention of {self.team}"


class Role(models.TextChoices):
    """In rising order; compared only in accounts/permissions.py."""

    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    BUILDER = "builder", "Builder"
    ADMIN = "admin", "Admin"


class Membership(models.Model):
    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "user"], name="membership_once_a_team"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}: {self.get_role_display()}"


class Invitation(models.Model):
    """A seat offered by e-mail. The token is kept hashed and works once, until `expires_at`."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    invited_by_name = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.email} to {self.team}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self, now: datetime | None = None) -> Self:
        now = now or timezone.now()
        return self.filter(revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))


class ApiToken(models.Model):
    """A program's key to one team: `spt_<prefix>_<secret>`; the secret is kept only as an HMAC."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.OPERATOR)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_by_name = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (spt_{self.prefix}_…)"

    @staticmethod
    def hash_secret(secret: str) -> str:
        key = settings.SECRET_KEY.encode()
        return hmac.new(key, b"api-token:" + secret.encode(), hashlib.sha256).hexdigest()

    @classmethod
    def issue(
        cls, *, team: Team, name: str, role: str, user: User | None, **fields: object
    ) -> tuple["ApiToken", str]:
        """A new token and its full text, which can never be shown again."""
        prefix, secret = secrets.token_hex(5), secrets.token_urlsafe(32)
        token = cls.objects.create(
            team=team, name=name, role=role, prefix=prefix,
            secret_hash=cls.hash_secret(secret), created_by=user,
            created_by_name=user.display_name if user else "", **fields,
        )  # fmt: skip
        return token, f"spt_{prefix}_{secret}"

    @classmethod
    def find(cls, text: str) -> "ApiToken | None":
        """The usable token that `text` is, compared in constant time; None for anything else."""
        head, _, rest = text.partition("_")
        prefix, _, secret = rest.partition("_")
        if head != "spt" or not prefix or not secret:
            return None
        token = cls.objects.usable().select_related("team").filter(prefix=prefix).first()
        expected = token.secret_hash if token else "0" * 64
        matches = hmac.compare_digest(expected, cls.hash_secret(secret))
        return token if token and matches else None


class Usage(models.Model):
    """What a team has used of its plan in one month (`month` is its first day, UTC)."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="usage")
    month = models.DateField()
    job_count = models.PositiveIntegerField(default=0)
    record_count = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "usage"
        constraints = [models.UniqueConstraint(fields=["team", "month"], name="usage_once_a_month")]

    def __str__(self) -> str:
        return f"{self.team} {self.month:%B %Y}"


def raise_rights_version(team_id: int) -> None:
    """Tell open sockets of the team to check their rights (called by every membership verb)."""
    Team.objects.filter(pk=team_id).update(rights_version=F("rights_version") + 1)


class NoticeRule(models.TextChoices):
    """When a person is told that a job they follow has ended."""

    ALWAYS = "always", "Always"
    ON_FAILURE = "on_failure", "On failure"
    NEVER = "never", "Never"


class NoticeRules(models.Model):
    """One person's rules, a channel each. Who never set any has no row: the defaults hold."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="notice_rules"
    )
    in_app = models.CharField(max_length=10, choices=NoticeRule.choices, default=NoticeRule.ALWAYS)
    email = models.CharField(
        max_length=10, choices=NoticeRule.choices, default=NoticeRule.ON_FAILURE
    )
    slack = models.CharField(max_length=10, choices=NoticeRule.choices, default=NoticeRule.NEVER)
    # The incoming webhook's whole address is a secret: who knows it may write to the channel.
    slack_ciphertext = models.BinaryField(null=True, blank=True, editable=False)
    slack_host = models.CharField(max_length=255, blank=True, editable=False)

    class Meta:
        verbose_name_plural = "notice rules"
        constraints = [
            models.CheckConstraint(
                condition=Q(slack=NoticeRule.NEVER) | ~Q(slack_ciphertext=None),
                name="slack_rule_has_an_address",
            ),
        ]

    def __str__(self) -> str:
        return f"Notice rules of {self.user}"


class AuditEntry(models.Model):
    """Who changed what in a team's settings: written with the change, never altered."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="audit_entries")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=60)  # member.invited, token.revoked…
    subject = models.CharField(max_length=300)
    details = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-id"]
        indexes = [models.Index(fields=["team", "-id"], name="audit_team_recent")]

    def __str__(self) -> str:
        return f"{self.action}: {self.subject}"
