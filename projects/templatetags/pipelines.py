"""`{% load pipelines %}`: addresses of a pipeline's pages, and words for its parts."""

from typing import Any

from django import template

from accounts.templatetags.spindle import duration
from projects.models import Pipeline
from projects.pipelines.flow import CUSTOM_ICON, KIND_ICONS

register = template.Library()


@register.simple_tag
def pipeline_url(pipeline: Pipeline, page: str = "", *extra: Any) -> str:
    """`{% pipeline_url pipeline "version" 3 %}`."""
    return pipeline.url_of(page, *extra)


@register.filter
def kind_icon(kind: str) -> str:
    """The path of the kind's 16 × 16 icon."""
    return KIND_ICONS.get(kind, CUSTOM_ICON)


@register.filter
def ms(value: float | None) -> str:
    """Milliseconds: 4.2 → "4.2ms", 1,500 → "1.5s"; — where there is none."""
    if value is None:
        return "—"
    return f"{value:.1f}ms" if value < 10 else duration(value / 1000)
