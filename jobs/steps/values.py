"""Values from outside, made fit for storage: sized, and free of what a database refuses."""

import json
import re
from typing import Any

MAX_EXCERPT = 1_000  # characters of an answer or request shown in a journey
MAX_KEPT = 64 * 1024  # characters of one value kept for later steps, as JSON
STEP = re.compile(r"([^.\[\]]+)|\[(-?\d+)\]")


def storable(value: Any) -> Any:
    """The value without NULs, lone surrogates and what JSON does not know (written as text)."""
    if isinstance(value, str):
        if "\0" in value:
            value = value.replace("\0", "")
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    if isinstance(value, float) and value - value != 0:  # infinite or not a number
        return None
    return value if value is None or isinstance(value, (int, float)) else storable(str(value))


def excerpt(text: str, limit: int = MAX_EXCERPT) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def parse_json(text: str) -> Any:
    """JSON from outside; ValueError for anything else, however deep or odd."""
    try:
        return storable(json.loads(text, parse_constant=lambda _: None))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def compile_path(path: str) -> list[str | int]:
    """`data.items[0].id` as steps; `$` is the whole answer."""
    path = path.strip().removeprefix("$").removeprefix(".")
    return [name or int(index) for name, index in STEP.findall(path)]


def at_path(value: Any, path: list[str | int]) -> tuple[bool, Any]:
    """(whether it is there, the value)."""
    for step in path:
        if isinstance(value, dict) and str(step) in value:
            value = value[str(step)]
        elif isinstance(value, list):
            try:
                value = value[int(step)]
            except (ValueError, IndexError):
                return False, None
        else:
            return False, None
    return True, value
