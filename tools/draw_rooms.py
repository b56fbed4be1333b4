#!/usr/bin/env python3
"""Draw the rooms of the package and who imports whom, from the imports themselves, as an SVG.

    python tools/draw_rooms.py docs/rooms.svg

Rooms stand on the levels that tests/unit/test_imports.py holds. An arrow is drawn from a room to those that
it imports and that no other room between them imports for it: what is left out follows from the rest.
"""

from __future__ import annotations

import ast
import html
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rtcstack"

BOX_WIDTH, BOX_HEIGHT = 112, 34
COLUMN, ROW = 128, 84
MARGIN = 24

BASE = {
    *("errors", "events", "config", "clock", "entropy", "platform", "serial", "engine"),
    *("lazynames", "promises", "refusals", "slips"),
}
"""What everything may use: left out."""


def levels() -> dict[str, int]:
    """LEVELS of the import test: the one place where they are written."""
    tree = ast.parse((ROOT / "tests" / "unit" / "test_imports.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LEVELS":
            found: dict[str, int] = ast.literal_eval(node.value)
            return found
    raise SystemExit("tests/unit/test_imports.py has no LEVELS")


def room(path: Path) -> str:
    """The room of a file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def edges(known: set[str]) -> dict[str, set[str]]:
    """Which rooms each room imports."""
    found: dict[str, set[str]] = {name: set() for name in known}
    for path in PACKAGE.rglob("*.py"):
        source = room(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rtcstack."):
                target = (node.module or "").split(".")[1]
                if source in known and target in known and target != source:
                    found[source].add(target)
    return found


def essential(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The edges that do not follow from others (the transitive reduction: there are no circles)."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            node = waiting.pop()
            if node not in seen:
                seen.add(node)
                waiting += graph[node]
        return seen

    beyond = {node: set().union(*(reach(each) for each in graph[node])) for node in graph}
    return {node: graph[node] - beyond[node] for node in graph}


def draw() -> str:
    """The picture."""
    height = {name: level for name, level in levels().items() if name and not name.startswith("__")}
    for name in BASE:
        height.pop(name, None)
    rows = sorted(set(height.values()), reverse=True)
    places: dict[str, tuple[float, float]] = {}
    widest = max(sum(level == each for level in height.values()) for each in rows)
    width = widest * COLUMN + 2 * MARGIN
    for index, level in enumerate(rows):
        names = sorted(name for name, each in height.items() if each == level)
        left = (width - len(names) * COLUMN) / 2 + (COLUMN - BOX_WIDTH) / 2
        for column, name in enumerate(names):
            places[name] = left + column * COLUMN, MARGIN + index * ROW
    total = MARGIN * 2 + (len(rows) - 1) * ROW + BOX_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {total:.0f}" '
        'font-family="sans-serif" font-size="13">',
        "<title>The rooms of rtcstack, and who imports whom</title>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#888"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{total:.0f}" fill="#fff"/>',
    ]
    for source, targets in sorted(essential(edges(set(height))).items()):
        for target in sorted(targets):
            (x1, y1), (x2, y2) = places[source], places[target]
            x1, x2 = x1 + BOX_WIDTH / 2, x2 + BOX_WIDTH / 2
            if y1 == y2:  # a bow above the row
                step = BOX_WIDTH / 4 if x2 > x1 else -BOX_WIDTH / 4
                way = f"M{x1 + step:.0f} {y1:.0f} Q{(x1 + x2) / 2:.0f} {y1 - 44:.0f} {x2 - step:.0f} {y2:.0f}"
            else:
                way = f"M{x1:.0f} {y1 + BOX_HEIGHT:.0f} L{x2:.0f} {y2:.0f}"
            parts.append(f'<path d="{way}" stroke="#888" fill="none" marker-end="url(#end)"/>')
    for name, (x, y) in sorted(places.items()):
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" fill="#eef3fb" '
            f'stroke="#456"/><text x="{x + BOX_WIDTH / 2:.0f}" y="{y + 22:.0f}" text-anchor="middle" '
            f'fill="#123">{html.escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    Path(sys.argv[1]).write_text(draw())
