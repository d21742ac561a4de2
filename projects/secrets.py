"""Secrets that steps use by name: encrypted at rest, written once, never shown again.

Keys come from SPINDLE_SECRETS_KEYS (a comma-separated list of Fernet keys; the first encrypts,
all decrypt), else one is derived from the secret key. `rotate` encrypts all anew with the first.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.models import Model

from accounts.models import NoticeRules, Team
from accounts.permissions import Actor
from projects.models import Secret, secret_name_validator

MASK = "••••••"
MAX_LENGTH = 16_384


class Unreadable(Exception):
    """A stored secret fits none of the keys."""


def set_secret(team: Team, name: str, value: str, actor: Actor) -> Secret:
    """Write or replace a secret; ValidationError for a bad name, ValueError for a bad value."""
    secret_name_validator(name)
    if not value:
        raise ValueError("A secret cannot be empty.")
    if len(value) > MAX_LENGTH:
        raise ValueError(f"A secret has at most {MAX_LENGTH:,} characters.")
    secret, _ = Secret.objects.update_or_create(
        team=team, name=name,
        defaults={
            "ciphertext": _cipher().encrypt(value.encode()),
            "updated_by": actor.user, "updated_by_name": actor.name,
        },
    )  # fmt: skip
    return secret


def delete_secret(team: Team, name: str, actor: Actor) -> bool:
    """True when there was one. Steps that use it then fail with a message that names it."""
    deleted, _ = Secret.objects.filter(team=team, name=name).delete()
    return deleted > 0


def names(team: Team | int) -> set[str]:
    """The names alone, for validation and for forms."""
    team_id = team if isinstance(team, int) else team.pk
    return set(Secret.objects.filter(team_id=team_id).values_list("name", flat=True))


def decrypted(team: Team | int) -> dict[str, str]:
    """Name → value of all a team's secrets. For workers only; never put in a message or a row.

    A secret that fits no key is left out: the step that uses it fails and says so.
    """
    team_id = team if isinstance(team, int) else team.pk
    cipher, found = _cipher(), {}
    for name, ciphertext in Secret.objects.filter(team_id=team_id).values_list(
        "name", "ciphertext"
    ):
        try:
            found[name] = cipher.decrypt(bytes(ciphertext)).decode()
        except InvalidToken:
            continue
    return found


def encrypt(value: str) -> bytes:
    """For a secret that is kept elsewhere; `rotate` must know of it."""
    return _cipher().encrypt(value.encode())


def decrypt(ciphertext: bytes) -> str:
    """Raises Unreadable."""
    try:
        return _cipher().decrypt(ciphertext).decode()
    except InvalidToken:
        raise Unreadable from None


def rotate() -> tuple[int, list[str]]:
    """Encrypt every secret anew with the first key: (how many, the unreadable ones' names)."""
    cipher, count, unreadable = _cipher(), 0, []
    with transaction.atomic():
        for name, row, column in _kept():
            try:
                setattr(row, column, cipher.rotate(bytes(getattr(row, column))))
            except InvalidToken:
                unreadable.append(name)
                continue
            row.save(update_fields=[column])
            count += 1
    return count, unreadable


def _kept() -> Iterator[tuple[str, Model, str]]:
    """Every row that holds a secret, with a name for people and its column."""
    for secret in Secret.objects.select_related("team").order_by("pk").iterator(500):
        yield f"{secret.team.slug}/{secret.name}", secret, "ciphertext"
    rules = NoticeRules.objects.exclude(slack_ciphertext=None).select_related("user")
    for one in rules.order_by("pk").iterator(500):
        yield f"the Slack address of {one.user.email}", one, "slack_ciphertext"


def _cipher() -> MultiFernet:
    return _cipher_for(tuple(settings.SECRETS_KEYS), settings.SECRET_KEY)


@lru_cache(maxsize=8)
def _cipher_for(keys: tuple[str, ...], secret_key: str) -> MultiFernet:
    if not keys:
        digest = hashlib.sha256(b"spindle-secrets:" + secret_key.encode()).digest()
        return MultiFernet([Fernet(base64.urlsafe_b64encode(digest))])
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise ImproperlyConfigured(
            "SPINDLE_SECRETS_KEYS should be a comma-separated list of Fernet keys "
            "(32 bytes in URL-safe base64, 44 characters each)."
        ) from None


class Masker:
    """Puts a mask where a secret stands, also in the forms requests and answers give it."""

    __slots__ = ("_pattern",)

    def __init__(self, secrets: Mapping[str, str]):
        forms = {form for value in secrets.values() if value for form in _forms(value)}
        alternatives = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        self._pattern = re.compile(alternatives) if alternatives else None

    def text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def tree(self, value: Any) -> Any:
        """The same for JSON-like values, keys included."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        return value


def mask(text: str, secrets: Mapping[str, str]) -> str:
    """`text` without any of the secrets' values."""
    return Masker(secrets).text(text)


def _forms(value: str) -> set[str]:
    forms = {
        value, quote(value, safe=""), quote(value), quote_plus(value),
        quote_plus(value, safe="/:@+"), html.escape(value),
        json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1],
        base64.b64encode(value.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    }  # fmt: skip
    return {form for form in forms if form}
