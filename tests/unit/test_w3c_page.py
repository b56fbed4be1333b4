"""docs/w3c.md is what tools/write_w3c_page.py writes, and nothing of the IDL is missing in silence; each
algorithm has a test that there is, or a reason."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tools import write_w3c_page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "w3c.md"

ALGORITHMS = [
    pytest.param(tests, id=f"{spec}: {title}")
    for spec, each in write_w3c_page.ALGORITHMS.items()
    for title, tests in each["algorithms"].items()
]


@cache
def named_in(file: str) -> frozenset[str]:
    """Names of the tests in a file."""
    body = ast.parse((ROOT / file).read_text()).body
    return frozenset(
        each.name
        for each in body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test_")
    )


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == write_w3c_page.page()


def test_no_note_is_about_what_is_there() -> None:
    for each in write_w3c_page.NOTES:
        name, _, member = each.partition(".")
        cls = write_w3c_page.found(name)
        assert cls is None if not member else not write_w3c_page.has(cls, name, member), each


@pytest.mark.parametrize("tests", ALGORITHMS)
def test_an_algorithm_has_a_test_or_a_reason(tests: list[str] | str) -> None:
    assert tests
    for each in [] if isinstance(tests, str) else tests:
        file, _, name = each.partition("::")
        assert name in named_in(file), each


def test_algorithms_are_those_of_the_commits_that_the_interfaces_are_of() -> None:
    for spec, each in write_w3c_page.ALGORITHMS.items():
        assert each["commit"] == write_w3c_page.IDL[spec]["commit"]
