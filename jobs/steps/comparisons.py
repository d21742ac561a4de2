"""A condition's rows: field, operator, value."""

from collections.abc import Callable
from typing import Any

from projects.steps.kinds import OPERATORS
from projects.templating import Template, compile_template

Names = dict[str, Any]
WORDS = dict(OPERATORS)
WITHOUT_VALUE = ("is_empty", "is_not_empty")


def compile_rows(
    rows: list[dict[str, Any]], *, is_any: bool
) -> tuple[Callable[[Names], bool], list[Template], str]:
    """The test, the templates it renders, and the condition in words."""
    compiled = [
        (
            tuple(str(row["field"]).split(".")),
            COMPARE[row.get("operator") or "equals"],
            compile_template(str(row.get("value", ""))),
        )
        for row in rows
    ]
    words = [
        f"{row['field']} {WORDS[row.get('operator') or 'equals']}"
        + ("" if row.get("operator") in WITHOUT_VALUE else f" “{row.get('value', '')}”")
        for row in rows
    ]

    def holds(names: Names) -> bool:
        tests = (
            compare(_look_up(names, path), template.render(names))
            for path, compare, template in compiled
        )
        return any(tests) if is_any else all(tests)

    templates = [template for _, _, template in compiled]
    return holds, templates, (" or " if is_any else " and ").join(words)


def _look_up(names: Names, path: tuple[str, ...]) -> Any:
    value: Any = names
    for segment in path:
        value = value.get(segment) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _number(value: Any) -> float | None:
    try:
        return float(_text(value).strip().replace(",", ""))
    except ValueError:
        return None


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, str], bool]:
    """Numbers as numbers, else texts as texts (so that ISO dates compare); empty never holds."""

    def compare(left: Any, right: str) -> bool:
        if _text(left).strip() == "" or right.strip() == "":
            return False
        one, two = _number(left), _number(right)
        if one is not None and two is not None:
            return test(one, two)
        return test(_text(left), right)

    return compare


def _equal(left: Any, right: str) -> bool:
    """Texts without regard to case; numbers by value."""
    if _text(left).strip().casefold() == right.strip().casefold():
        return True
    one, two = _number(left), _number(right)
    return one is not None and one == two


def _contains(left: Any, right: str) -> bool:
    if isinstance(left, list):
        return any(_equal(item, right) for item in left)
    return right.casefold() in _text(left).casefold()


def _is_empty(left: Any) -> bool:
    return left in (None, "", [], {}) or _text(left).strip() == ""


COMPARE: dict[str, Callable[[Any, str], bool]] = {
    "equals": _equal,
    "not_equals": lambda left, right: not _equal(left, right),
    "contains": _contains,
    "not_contains": lambda left, right: not _contains(left, right),
    "starts_with": lambda left, right: _text(left).casefold().startswith(right.casefold()),
    "greater": _ordered(lambda left, right: left > right),
    "at_least": _ordered(lambda left, right: left >= right),
    "less": _ordered(lambda left, right: left < right),
    "at_most": _ordered(lambda left, right: left <= right),
    "is_empty": lambda left, right: _is_empty(left),
    "is_not_empty": lambda left, right: not _is_empty(left),
    "in": lambda left, right: any(_equal(left, part) for part in right.split(",")),
}
