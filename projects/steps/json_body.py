"""JSON texts with templates in them, rendered so that no field can break out of its string.

When the source itself is JSON, the templates stand inside its strings: each is rendered alone and
escaped. Otherwise (`{"age": {{ contact.age | json }}}`) the text is rendered as a whole, and must
be JSON afterwards.
"""

import json
import re
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from projects.templating import Template, TemplateProblem, compile_template

HOLE = re.compile(r'"\\u0000(\d+)\\u0000"')


class JsonTemplate:
    __slots__ = ("_parts", "_whole", "templates")

    def __init__(self, source: str):
        self.templates: list[Template] = []
        self._parts: list[str | Template] = []
        self._whole: Template | None = None
        try:
            tree = json.loads(source)
        except (ValueError, RecursionError):
            self._whole = compile_template(source)
            self.templates.append(self._whole)
            return
        pieces = HOLE.split(json.dumps(self._with_holes(tree), ensure_ascii=False))
        for number, piece in enumerate(pieces):
            self._parts.append(self.templates[int(piece)] if number % 2 else piece)

    def _with_holes(self, value: Any) -> Any:
        if isinstance(value, str) and ("{{" in value or "{%" in value):
            self.templates.append(compile_template(value))
            return f"\0{len(self.templates) - 1}\0"
        if isinstance(value, str):
            return value.replace("\0", "")
        if isinstance(value, dict):
            return {key: self._with_holes(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._with_holes(item) for item in value]
        return value

    def render(self, names: Mapping[str, Any]) -> str:
        if self._whole is None:
            return "".join(
                part if isinstance(part, str) else encode_basestring(part.render(names))
                for part in self._parts
            )
        text = self._whole.render(names)
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise TemplateProblem(
                f"the body is not JSON once filled in ({error}); write fields as "
                "{{ contact.name | json }} or inside quotes"
            ) from None
        return text
