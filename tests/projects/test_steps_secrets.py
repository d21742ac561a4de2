"""Secrets at rest and out of sight."""

import base64
import io
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import CommandError, call_command

from accounts.models import Team
from accounts.permissions import SYSTEM
from projects.models import Secret
from projects.secrets import MASK, Masker, decrypted, delete_secret, mask, names, set_secret

CANARY = 'cANary"/ä+42 value'


def test_a_secret_is_encrypted_and_scoped_to_its_team(team: Team, other_team: Team) -> None:
    """S09"""
    set_secret(team, "API_KEY", CANARY, SYSTEM)
    stored = Secret.objects.get()
    assert CANARY.encode() not in bytes(stored.ciphertext)
    assert decrypted(team) == {"API_KEY": CANARY}
    assert names(team) == {"API_KEY"}
    assert decrypted(other_team) == {}
    set_secret(team, "API_KEY", "new", SYSTEM)
    assert decrypted(team) == {"API_KEY": "new"}
    assert delete_secret(team, "API_KEY", SYSTEM)
    assert not delete_secret(team, "API_KEY", SYSTEM)


def test_names_and_values_are_checked(team: Team) -> None:
    with pytest.raises(ValidationError):
        set_secret(team, "1 bad", "x", SYSTEM)
    with pytest.raises(ValueError, match="empty"):
        set_secret(team, "OK", "", SYSTEM)


def test_keys_can_be_rotated(team: Team, settings: Any) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.SECRETS_KEYS = [old]
    set_secret(team, "API_KEY", CANARY, SYSTEM)
    settings.SECRETS_KEYS = [new, old]
    assert decrypted(team) == {"API_KEY": CANARY}
    out = io.StringIO()
    call_command("rotate_secrets", stdout=out)
    assert "1 secrets" in out.getvalue()
    settings.SECRETS_KEYS = [new]
    assert decrypted(team) == {"API_KEY": CANARY}
    settings.SECRETS_KEYS = [old]
    assert decrypted(team) == {}
    with pytest.raises(CommandError, match="northwind/API_KEY"):
        call_command("rotate_secrets", stdout=out)
    settings.SECRETS_KEYS = ["short"]
    with pytest.raises(ImproperlyConfigured, match="SPINDLE_SECRETS_KEYS"):
        decrypted(team)


def test_the_command_reads_standard_input(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from-stdin\n"))
    out = io.StringIO()
    call_command("set_secret", "northwind", "TOKEN", stdout=out)
    assert decrypted(team) == {"TOKEN": "from-stdin"}
    assert "from-stdin" not in out.getvalue()
    with pytest.raises(CommandError, match="no team"):
        call_command("set_secret", "nobody", "TOKEN")


def test_a_mask_hides_every_form_a_request_gives_a_secret() -> None:
    """S09"""
    encoded = [
        CANARY, quote(CANARY), quote(CANARY, safe=""), base64.b64encode(CANARY.encode()).decode(),
        '{"k": "cANary\\"/\\u00e4+42 value"}',
    ]  # fmt: skip
    for text in encoded:
        assert "42" not in mask(f"before {text} after", {"K": CANARY}), text
    tree = Masker({"K": CANARY}).tree({"a": [CANARY, 1, None], CANARY: "x"})
    assert tree == {"a": [MASK, 1, None], MASK: "x"}
    assert mask("nothing", {"K": ""}) == "nothing"
