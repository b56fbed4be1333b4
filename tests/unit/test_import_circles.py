"""Modules of a room import each other in one direction only: types and imports inside functions included."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rtcstack"

ROOMS = ("media", "rtp", "testing")


def modules_of(room: str) -> dict[str, Path]:
    """Every module of a room, dotted and in full."""
    found = {}
    for path in (PACKAGE / room).rglob("*.py"):
        parts = ("rtcstack", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str, modules: dict[str, Path]) -> set[str]:
    """Which of these modules a source imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            found |= {
                f"{module}.{alias.name}" if f"{module}.{alias.name}" in modules else module
                for alias in node.names
            }
    return found & set(modules)


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_imports_itself_by_way_of_others(room: str) -> None:
    modules = modules_of(room)
    graph = {name: imported(path.read_text(), modules) - {name} for name, path in modules.items()}
    assert sum(map(len, graph.values())) > len(graph)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_imports_are_found_wherever_they_stand() -> None:
    modules = {"rtcstack.rtp": PACKAGE, "rtcstack.rtp.send": PACKAGE, "rtcstack.rtp.pacer": PACKAGE}
    source = (
        "if TYPE_CHECKING:\n    from rtcstack.rtp.send import X\ndef f():\n    from rtcstack.rtp import pacer"
    )
    assert imported(source, modules) == {"rtcstack.rtp.send", "rtcstack.rtp.pacer"}
    assert imported("import rtcstack.rtp.send\nfrom asyncio import sleep", modules) == {"rtcstack.rtp.send"}
