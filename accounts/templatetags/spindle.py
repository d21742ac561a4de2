"""`{% load spindle %}`: times and lengths as people read them, the same on every page."""

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def duration(seconds: float | None) -> str:
    """0.412 → "412ms", 3.04 → "3.0s", 48 → "48s", 391 → "6m 31s", 3,900 → "1h 05m"."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """ "6m ago" in a <time>, whose title is the full time with its zone."""
    if at is None:
        return ""
    seconds = (timezone.now() - at).total_seconds()
    return _time(at, ago_words(abs(seconds), is_past=seconds >= 0))


@register.filter
def local_time(at: datetime | None) -> SafeString | str:
    """ "24 Nov 2026, 19:41 UTC" in the reader's zone."""
    if at is None:
        return ""
    local = timezone.localtime(at)
    return _time(at, f"{local.day} {local:%b %Y, %H:%M %Z}")


def ago_words(seconds: float, *, is_past: bool = True) -> str:
    """ "just now", "30s ago", "6m ago", "2h ago", "3d ago", "1y ago"; or "in 6m"."""
    if seconds < 5:
        return "just now"
    for size, unit in ((31_536_000, "y"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        if seconds >= size:
            words = f"{int(seconds // size)}{unit}"
            return f"{words} ago" if is_past else f"in {words}"
    return "just now"


def _time(at: datetime, words: str) -> SafeString:
    full = f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), full, words)


@register.filter
def clock_time(at: datetime | None) -> SafeString | str:
    """ "08:02:11" in the reader's zone; date and zone in the title."""
    return _time(at, f"{timezone.localtime(at):%H:%M:%S}") if at else ""


@register.filter
def count(number: int | None) -> str:
    """1842 → "1,842"."""
    return "" if number is None else f"{number:,}"


@register.filter
def percent(part: float | None, whole: float | None) -> str:
    """3 of 300 → "1 %"; parts of a percent only below ten."""
    if not whole or part is None:
        return "0 %"
    share = 100 * part / whole
    return f"{share:.1f} %".replace(".0 %", " %") if share < 10 else f"{share:.0f} %"


@register.filter
def initials(name: str) -> str:
    words = name.replace(".", " ").replace("-", " ").split()
    return "".join(word[0] for word in words[:2]).upper() or "?"


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """The page's query string with some keys changed; None or "" takes a key out.

    `<a href="{% query status='failed' after=None %}">`
    """
    params = context["request"].GET.copy()
    for key, value in changes.items():
        params.pop(key, None)
        if value not in (None, ""):
            params[key] = value
    return f"?{params.urlencode()}" if params else context["request"].path


@register.filter
def ms(milliseconds: float | None) -> str:
    """0.04 → "<0.1ms", 0.42 → "0.4ms", 412.3 → "412ms", 3040 → "3.0s"."""
    if milliseconds is None:
        return "–"
    if 0 < milliseconds < 0.05:
        return "<0.1ms"
    if milliseconds < 10:
        return f"{milliseconds:.1f}ms"
    return duration(milliseconds / 1000)
