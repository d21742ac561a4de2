"""Templates that users write: Liquid over plain data, with every limit switched on.

`compile_template(text)` parses once (a worker keeps the result for a whole batch) and raises
TemplateProblem with a line. `Template.render(names)` raises TemplateProblem too; a missing field
renders as nothing. Authors get data and never objects: no attribute is looked up, only items of
dictionaries and lists. See docs/steps.md, "Templates", for what authors may write.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from io import StringIO
from typing import Any, ClassVar

from liquid import Environment, Mode, RenderContext
from liquid.ast import Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import OutputNode
from liquid.exceptions import LiquidError, LiquidInterrupt, ResourceLimitError, StopRender
from liquid.expression import Expression
from liquid.output import LimitedStringIO
from liquid.stringify import to_liquid_string
from liquid.token import Token

MAX_SOURCE = 20_000  # characters of template text
MAX_OUTPUT = 256 * 1024  # bytes of one rendered text
MAX_VALUE = 256 * 1024  # characters of a text within a template
MAX_ITEMS = 2_000  # of a list or range within a template
MAX_ITERATIONS = 10_000  # of all loops of one rendering together
MAX_DIGITS = 300  # of a number
MAX_WORK = 4_000_000  # characters and items that filters handle in one rendering
MAX_BLANKS = 200  # white space at the ends of one tag
OPENING = re.compile(r"\{\{|\{%")
CPU_SECONDS = 0.5  # of one rendering

# Filters whose regular expressions or parsers are slow on long texts.
SLOW_FILTERS = {"strip_html": 20_000, "date": 200, "squish": 50_000, "escape_once": 50_000}
NUMBER_FILTERS = frozenset(
    {"abs", "at_most", "at_least", "ceil", "divided_by", "floor", "minus", "plus", "round",
     "times", "modulo", "sum"}
)  # fmt: skip
REPLACING = frozenset({"replace", "replace_first", "replace_last"})


class TemplateProblem(ValueError):
    """What is wrong with a template, in words; `line` counts from 1 (0: unknown)."""

    def __init__(self, message: str, line: int = 0):
        self.line = line
        super().__init__(f"line {line}: {message}" if line else message)


class _Limit(ResourceLimitError):
    def __init__(self, message: str):
        super().__init__(message, token=None)


class _Range(RangeLiteral):
    """A range that cannot be longer than a list may be."""

    __slots__ = ()

    def _make_range(self, start: Any, stop: Any) -> range:
        made = super()._make_range(start, stop)
        if made.stop - made.start > MAX_ITEMS:
            raise _Limit(f"a range holds at most {MAX_ITEMS:,} numbers")
        return made


class _Context(RenderContext):
    """A render context that counts what the library does not: work, all loops, processor time."""

    __slots__ = ("calls", "deadline", "iterations", "work")

    def __init__(self, template: Any, **options: Any):
        super().__init__(template, **options)
        self.work = self.iterations = self.calls = 0
        self.deadline = 0.0  # set with the first look at the clock, which is dear

    def spend(self, amount: int) -> None:
        self.work += amount
        self.calls += 1
        if self.work > MAX_WORK:
            raise _Limit("the template handles too much text")
        if self.calls % 16 == 0:
            now = time.thread_time()
            self.deadline = self.deadline or now + CPU_SECONDS
            if now > self.deadline:
                raise _Limit("the template takes too long")

    def get(self, path: list[object], *, token: Token | None, default: object = ...) -> object:
        self.spend(1)
        if default is ...:
            return super().get(path, token=token)
        return super().get(path, token=token, default=default)

    def get_item(self, obj: Any, key: Any) -> Any:
        # Only plain data: nothing else is ever indexed, whatever its class would do.
        if not isinstance(obj, (dict, list, tuple, str, range, Mapping)):
            raise TypeError("not indexable")
        return super().get_item(obj, key)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Called as each loop begins; inner loops begin anew in every pass of the outer."""
        self.iterations += length
        self.spend(length)
        if self.iterations > MAX_ITERATIONS:
            raise _Limit(f"loops run at most {MAX_ITERATIONS:,} times in all")

    def stopindex(self, key: str, index: int | None = None) -> int:
        if index is not None and index > MAX_ITERATIONS:
            raise _Limit(f"loops run at most {MAX_ITERATIONS:,} times in all")
        return super().stopindex(key, index)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        apply = super().filter(name, token)

        def limited(left: object, *args: object, **options: object) -> object:
            self.spend(_check_arguments(name, (left, *args)))
            result = apply(left, *args, **options)
            self.spend(_size(result))
            return result

        return limited


def _size(value: object) -> int:
    """How big a value is; raises when it is too big to go on with."""
    if isinstance(value, str):
        if len(value) > MAX_VALUE:
            raise _Limit(f"a text holds at most {MAX_VALUE:,} characters")
        return len(value) // 8 + 1
    if isinstance(value, (list, tuple, range, dict)):
        if len(value) > MAX_ITEMS:
            raise _Limit(f"a list holds at most {MAX_ITEMS:,} items")
        return len(value) + 1
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS * 3:
        raise _Limit(f"a number has at most {MAX_DIGITS} digits")
    return 1


def _check_arguments(name: str, values: tuple[object, ...]) -> int:
    """What a filter call will cost; refused before it is made when that is too much."""
    cost = sum(_size(value) for value in values)
    first = values[0]
    if name in SLOW_FILTERS and any(
        isinstance(value, str) and len(value) > SLOW_FILTERS[name] for value in values
    ):
        raise _Limit(f"{name} takes at most {SLOW_FILTERS[name]:,} characters")
    if name in NUMBER_FILTERS and any(isinstance(v, str) and len(v) > 40 for v in values):
        raise _Limit("a number written as text has at most 40 characters")
    if name in REPLACING and len(values) > 2:
        text, sought, put = str(first), str(values[1]), str(values[2])
        times = text.count(sought) if sought else len(text) + 1
        if times * len(put) + len(text) > MAX_VALUE:
            raise _Limit(f"a text holds at most {MAX_VALUE:,} characters")
    if isinstance(first, (list, tuple, range)):
        if name == "uniq":
            cost += len(first) ** 2
        if name == "join":
            between = len(str(values[1])) if len(values) > 1 else 1
            whole = sum(len(i) if isinstance(i, str) else 20 for i in first) + between * len(first)
            if whole > MAX_VALUE:
                raise _Limit(f"a text holds at most {MAX_VALUE:,} characters")
    return cost


class _Environment(Environment):
    block_nesting_limit: ClassVar[int] = 20
    context_depth_limit: ClassVar[int] = 30
    loop_iteration_limit: ClassVar[int | None] = MAX_ITERATIONS
    local_namespace_limit: ClassVar[int | None] = 1024 * 1024
    output_stream_limit: ClassVar[int | None] = MAX_OUTPUT


def _as_json(value: object) -> str:
    """`| json`: a value as JSON text, quotes included; what does not exist is null."""
    value = value.__liquid__() if hasattr(value, "__liquid__") else value
    return json.dumps(value, ensure_ascii=False, default=str)


def _environment() -> _Environment:
    env = _Environment(tolerance=Mode.STRICT, strict_filters=True)
    for tag in ("include", "render"):  # nothing is loaded by name
        env.tags.pop(tag, None)
    for name in ("safe", "escapejs"):
        env.filters.pop(name, None)
    env.add_filter("json", _as_json)
    return env


ENVIRONMENT = _environment()


class Template:
    """One parsed template. `paths` are the fields it reads, each as a tuple of segments."""

    __slots__ = ("_bound", "_parts", "paths", "source")

    def __init__(self, source: str):
        self.source = source
        if len(source) > MAX_SOURCE:
            raise TemplateProblem(f"a template holds at most {MAX_SOURCE:,} characters")
        _scan(source)
        try:
            self._bound = ENVIRONMENT.from_string(source)
            for expression in _expressions(self._bound.nodes, RenderContext(self._bound)):
                if type(expression) is RangeLiteral:
                    expression.__class__ = _Range
            self.paths = _paths(source, self._bound)
        except (LiquidError, RecursionError, ValueError, OverflowError) as error:
            raise _problem(error) from None
        self._parts = _plain_parts(self._bound.nodes)

    def render(self, names: Mapping[str, Any]) -> str:
        if self._parts is not None:
            return self._render_plain(names)
        return self._render_whole(names)

    def reads(self, root: str) -> bool:
        return any(path[0] == root for path in self.paths)

    def _render_plain(self, names: Mapping[str, Any]) -> str:
        """The same text as `_render_whole` for templates of words and plain paths; 10 × faster."""
        written: list[str] = []
        for part in self._parts or ():
            if part.__class__ is str:
                written.append(part)
                continue
            value: Any = names
            for segment in part:
                if isinstance(value, dict):
                    value = value.get(segment)
                else:  # items of texts, lists and numbers by name do not exist
                    value = None
                    break
            if value.__class__ is str:
                written.append(value)
            elif value is not None:
                written.append(_as_text(value))
        text = written[0] if len(written) == 1 else "".join(written)
        if len(text) * 4 > MAX_OUTPUT and len(text.encode()) > MAX_OUTPUT:
            raise TemplateProblem("output stream limit reached")
        return text

    def _render_whole(self, names: Mapping[str, Any]) -> str:
        context = _Context(self._bound, globals=names)
        buffer: StringIO = LimitedStringIO(limit=MAX_OUTPUT)
        try:
            for node in self._bound.nodes:
                node.render(context, buffer)
        except StopRender:
            pass
        except LiquidInterrupt as error:
            raise TemplateProblem(f"{error} outside a loop") from None
        except (LiquidError, RecursionError, MemoryError) as error:
            raise _problem(error) from None
        except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise TemplateProblem(f"cannot be worked out ({error})") from None
        text = buffer.getvalue()
        return text if text.isprintable() else text.replace("\0", "")  # no database keeps a NUL

    def missing(self, names: Mapping[str, Any]) -> list[str]:
        """The fields it reads that the given names do not have (for dry runs)."""
        absent = []
        for path in self.paths:
            value: Any = names
            for segment in path:
                if isinstance(value, Mapping) and segment in value:
                    value = value[segment]
                elif isinstance(value, list) and isinstance(segment, int):
                    value = value[segment] if -len(value) <= segment < len(value) else None
                elif segment in ("size", "first", "last") and value is not names:
                    break
                else:
                    absent.append(".".join(map(str, path)))
                    break
        return absent


@lru_cache(maxsize=2048)
def compile_template(source: str) -> Template:
    return Template(source)


def compile_condition(expression: str) -> Template:
    """A Liquid condition (`contact.plan == "pro" and values.score > 3`) as a template that
    renders "1" where it holds."""
    if "%}" in expression or "{%" in expression or "{{" in expression:
        raise TemplateProblem("write the condition alone, without {% %} or {{ }}")
    if not expression.strip():
        raise TemplateProblem("the condition is empty")
    return compile_template("{% if " + expression + " %}1{% endif %}")


def _scan(source: str) -> None:
    """Refuse what makes the lexer's regular expressions slow (quadratic, 10 s for 20,000
    characters): tags that are never closed, and long white space at a tag's ends."""
    at = 0
    while found := OPENING.search(source, at):
        closing = "}}" if found[0] == "{{" else "%}"
        end = source.find(closing, found.end())
        line = source.count("\n", 0, found.start()) + 1
        if end < 0:
            raise TemplateProblem(f"expected {closing!r}, found the end", line)
        inner = source[found.end() : end]
        if len(inner) - len(inner.removeprefix("-").removesuffix("-").strip()) > MAX_BLANKS:
            raise TemplateProblem("too much white space inside a tag", line)
        at = end + 2


def _as_text(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS * 3:
        raise TemplateProblem(f"a number has at most {MAX_DIGITS} digits")
    return to_liquid_string(value, autoescape=False)


def _plain_parts(nodes: list[Node]) -> list[str | tuple[str, ...]] | None:
    """Words and plain paths in order, or None when the template is more than that."""
    parts: list[str | tuple[str, ...]] = []
    for node in nodes:
        if isinstance(node, ContentNode):
            parts.append(node.text)
            continue
        if not isinstance(node, OutputNode) or not isinstance(node.expression, FilteredExpression):
            return None
        left = node.expression.left
        if (
            node.expression.filters
            or not isinstance(left, Path)
            or left.path[0] in ("now", "today")
        ):
            return None
        if any(not isinstance(s, str) or s in ("size", "first", "last") for s in left.path):
            return None
        parts.append(tuple(str(segment) for segment in left.path))
    return parts or [""]


def _expressions(nodes: Iterable[Node], context: RenderContext) -> Iterator[Expression]:
    for node in nodes:
        stack = list(node.expressions())
        while stack:
            expression = stack.pop()
            yield expression
            stack.extend(expression.children())
        yield from _expressions(node.children(context), context)


def _first_line(source: str, spans: Any) -> int:
    """The line of the first place (spans count characters)."""
    return source.count("\n", 0, min(span.index for span in spans)) + 1


def _paths(source: str, bound: Any) -> tuple[tuple[Any, ...], ...]:
    analysis = bound.analyze(include_partials=False)
    for name, spans in analysis.filters.items():
        if name not in ENVIRONMENT.filters:
            line = _first_line(source, spans)
            raise TemplateProblem(f"there is no filter {name!r}", line)
    found = analysis.globals
    paths = {
        tuple(s if isinstance(s, (str, int)) else "[…]" for s in variable.segments)
        for variables in found.values()
        for variable in variables
    }
    return tuple(sorted(paths, key=str))


def _problem(error: BaseException) -> TemplateProblem:
    if isinstance(error, (RecursionError, MemoryError)):
        return TemplateProblem("it is nested too deeply or too big")
    token = getattr(error, "token", None)
    line = 0
    if token is not None and getattr(token, "source", None) and token.start_index >= 0:
        line = token.source.count("\n", 0, token.start_index) + 1
    return TemplateProblem(str(error.args[0]) if error.args else str(error), line)
