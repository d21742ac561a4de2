"""A pipeline as a drawing: where each step stands and which way records may go.

Only numbers and words are made here; templates/projects/_flow.html and _chain.html draw them.
"""

from dataclasses import dataclass, field
from typing import Any

NODE_WIDTH, NODE_HEIGHT, NODE_GAP, ARC_STEP = 208, 40, 24, 14
CHAIN_STEP, CHAIN_LIMIT = 30, 12

# 16 × 16, drawn as strokes.
KIND_ICONS = {
    "template": "M3 4h10M3 8h10M3 12h6",
    "set": "M3 5.5h10M3 10.5h10",
    "condition": "M8 2l6 6-6 6-6-6z",
    "http": "M4 12L12 4M6 4h6v6",
    "email": "M2 4h12v8H2zM2 4l6 5 6-5",
    "ai": "M8 2l1.5 4.5L14 8 9.5 9.5 8 14 6.5 9.5 2 8l4.5-1.5z",
    "wait": "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12M8 5v3l2 1.5",
    "outcome": "M4 14V3h8l-2 3 2 3H4",
}
CUSTOM_ICON = "M8 2l5 3v6l-5 3-5-3V5z"


@dataclass(slots=True)
class Node:
    number: int
    name: str
    kind: str
    icon: str
    y: int
    note: str = ""
    goes_on: bool = True

    @property
    def middle(self) -> int:
        return self.y + NODE_HEIGHT // 2

    @property
    def bottom(self) -> int:
        return self.y + NODE_HEIGHT

    @property
    def icon_y(self) -> int:
        return self.middle - 8

    @property
    def name_y(self) -> int:
        return self.y + 17

    @property
    def note_y(self) -> int:
        return self.y + 31

    @property
    def chain_x(self) -> int:
        return 11 + (self.number - 1) * CHAIN_STEP

    @property
    def chain_left(self) -> int:
        return self.chain_x - 9

    @property
    def chain_icon(self) -> float:
        return self.chain_x - 5.5


@dataclass(slots=True)
class Arc:
    """A jump over the steps between; drawn as a line beside the nodes, `label` in words."""

    path: str
    head: str
    chain_path: str
    source: str
    target: str


@dataclass(slots=True)
class Flow:
    nodes: list[Node] = field(default_factory=list)
    arcs: list[Arc] = field(default_factory=list)
    width: int = NODE_WIDTH
    height: int = 0

    @property
    def chain(self) -> list[Node]:
        return self.nodes[:CHAIN_LIMIT]

    @property
    def chain_width(self) -> int:
        return max(1, len(self.chain)) * CHAIN_STEP - 8

    @property
    def chain_end(self) -> int:
        return 11 + (len(self.chain) - 1) * CHAIN_STEP

    @property
    def chain_arcs(self) -> list[Arc]:
        return [arc for arc in self.arcs if arc.chain_path]

    @property
    def words(self) -> str:
        """The drawing for who cannot see it."""
        steps = " → ".join(node.name or f"step {node.number}" for node in self.nodes)
        jumps = "".join(f"; {arc.source} may skip to {arc.target}" for arc in self.arcs)
        return (steps or "No steps yet") + jumps


def flow_of(definition: dict[str, Any]) -> Flow:
    steps = definition.get("steps", [])
    flow = Flow(height=max(NODE_HEIGHT, len(steps) * (NODE_HEIGHT + NODE_GAP) - NODE_GAP) + 4)
    for index, step in enumerate(steps):
        flow.nodes.append(
            Node(
                number=index + 1,
                name=step["name"],
                kind=step["kind"],
                icon=KIND_ICONS.get(step["kind"], CUSTOM_ICON),
                y=2 + index * (NODE_HEIGHT + NODE_GAP),
                note=_note(step),
                goes_on=_goes_on(step),
            )
        )
    places = {node.name: node for node in reversed(flow.nodes)}
    for node, step in zip(flow.nodes, steps, strict=True):
        for name in _jump_targets(step):
            target = places.get(name)
            if target is not None and target.number > node.number:
                flow.arcs.append(_arc(node, target, lane=len(flow.arcs)))
    if flow.arcs:
        flow.width = NODE_WIDTH + 10 + ARC_STEP * len(flow.arcs) + 6
    return flow


def _arc(source: Node, target: Node, *, lane: int) -> Arc:
    right = NODE_WIDTH + 10 + ARC_STEP * (lane + 1)
    path = (
        f"M{NODE_WIDTH} {source.middle} H{right - 6} Q{right} {source.middle} {right} "
        f"{source.middle + 6} V{target.middle - 6} Q{right} {target.middle} {right - 6} "
        f"{target.middle} H{NODE_WIDTH + 2}"
    )
    head = f"M{NODE_WIDTH + 7} {target.middle - 4}l-5 4l5 4"
    chain_path = ""
    if target.number <= CHAIN_LIMIT:
        begin, end = source.chain_x, target.chain_x
        chain_path = f"M{begin} 9 Q{(begin + end) // 2} -7 {end} 9"
    return Arc(path, head, chain_path, source.name, target.name)


def _branches(step: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(word, action, config) of both sides of a condition; none for other kinds."""
    if step["kind"] != "condition":
        return []
    config = step["config"]
    return [
        ("if so", config.get("on_true", "continue"), {"side": "true", **config}),
        ("else", config.get("on_false", "end"), {"side": "false", **config}),
    ]


def _jump_targets(step: dict[str, Any]) -> list[str]:
    return [
        str(config.get(f"on_{config['side']}_step", ""))
        for _, action, config in _branches(step)
        if action == "skip"
    ]


def _goes_on(step: dict[str, Any]) -> bool:
    """Whether some record comes from here to the very next step."""
    if step["kind"] == "outcome":
        return False
    branches = _branches(step)
    return not branches or any(action == "continue" for _, action, _ in branches)


def _note(step: dict[str, Any]) -> str:
    """What the box says under the name: the kind and, in a word, to where or what."""
    config = step["config"]
    if step["kind"] == "http":
        return f"{config.get('method', 'POST')} {_host(str(config.get('url', '')))}".strip()
    if step["kind"] == "outcome":
        return f"ends: {config.get('outcome', '')}"
    ends = [
        f"{word} ends: {inner.get('on_' + inner['side'] + '_outcome', '')}"
        for word, action, inner in _branches(step)
        if action == "end"
    ]
    return ", ".join(ends) or step["kind"]


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0] or url
