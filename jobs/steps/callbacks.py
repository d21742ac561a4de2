"""Addresses an outside system calls to answer a `wait` step.

The token is made from record and step, so that an earlier step can send the address before the
record waits, and a call that comes early finds its record. Only its hash is stored. It works once.
"""

import hashlib
import hmac
import re

from django.conf import settings

TOKEN = re.compile(r"^(\d{1,19})\.([a-z][a-z0-9_-]{0,59})\.([0-9a-f]{40})$")


def make_token(record_id: int, step_name: str) -> str:
    """`<record>.<step name>.<160-bit HMAC>`."""
    return f"{record_id}.{step_name}.{_signature(record_id, step_name)}"


def read_token(token: str) -> tuple[int, str] | None:
    """(record id, step name) of a genuine token; None for anything else. Constant time."""
    found = TOKEN.match(token)
    if found is None:
        return None
    record_id, step_name = int(found[1]), found[2]
    if not hmac.compare_digest(found[3], _signature(record_id, step_name)):
        return None
    return record_id, step_name


def hash_token(token: str) -> str:
    """What is stored in Record.wait_token_hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def callback_url(record_id: int, step_name: str) -> str:
    return f"{settings.BASE_URL}/callbacks/{make_token(record_id, step_name)}"


def _signature(record_id: int, step_name: str) -> str:
    text = f"callback:{record_id}:{step_name}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()[:40]
