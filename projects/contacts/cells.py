"""A cell of a CSV file that no spreadsheet takes for a formula, and back again.

A text that begins with = + - @, a tab or a return gets an apostrophe in front; so does one that
already looks escaped. Taking one away again gives exactly the old text.
"""

import json
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def escape(text: str) -> str:
    text = text.replace("\0", "")
    return "'" + text if text.lstrip("'").startswith(FORMULA) else text


def unescape(text: str) -> str:
    if text.startswith("'") and text.lstrip("'").startswith(FORMULA):
        return text[1:]
    return text


def as_text(value: Any) -> str:
    """An attribute's value as its cell shows it: texts as they are, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
