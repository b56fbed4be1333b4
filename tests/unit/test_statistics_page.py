"""docs/stats.md has every member that the specifications' IDL has, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.stats_idl import EXTRA, IDL, OURS, TYPES, members

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "stats.md").read_text()
ROW = re.compile(r"^\| `(\w+)`( \\\*)? \| (.+) \| (?:`(\w+)`)? \|$")


def rows(kind: str) -> dict[str, tuple[bool, str, str | None]]:
    """Of a type: whether a member is provisional, what is said of it, and its test."""
    section = PAGE.split(f"\n## {kind}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    found = {}
    for line in lines:
        match = ROW.match(line)
        assert match is not None, line
        name, mark, text, test = match.groups()
        assert name not in found, f"{kind}.{name} is there twice"
        found[name] = bool(mark), text, test
    return found


def test_the_page_has_all_types() -> None:
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == list(TYPES)
    assert sorted(TYPES) == sorted(IDL["webrtc-stats"]["enums"]["RTCStatsType"])


@pytest.mark.parametrize("kind", TYPES)
def test_the_page_has_all_members(kind: str) -> None:
    wanted = {name: each.is_provisional for name, each in members(kind).items()}
    assert {name: mark for name, (mark, _, _) in rows(kind).items()} == wanted


@pytest.mark.parametrize("kind", TYPES)
def test_each_member_has_a_test_or_a_reason(kind: str) -> None:
    source = "".join(
        path.read_text()
        for room in ("unit", "conformance", "scenarios")
        for path in (ROOT / "tests" / room).rglob("test_*.py")
    )
    for name, (_, text, test) in rows(kind).items():
        if text.startswith("absent: "):
            assert test is None, f"{kind}.{name}"
        else:
            assert test is not None, f"{kind}.{name}"
            assert f"def {test}(" in source, f"{kind}.{name}: there is no {test}"


def test_members_of_our_own_are_named() -> None:
    for kind, names in OURS.items():
        for name in names:
            assert f"`{kind}` has `{name}`" in PAGE


def test_dictionaries_without_a_type_are_named() -> None:
    provisional = set(IDL["webrtc-provisional-stats"]["dictionaries"])
    with_type = set(IDL["webrtc-stats"]["dictionaries"]) | {
        name for names in EXTRA.values() for name in names
    }
    for name in provisional - with_type:
        assert name in PAGE, name
