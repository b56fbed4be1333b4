"""docs/w3c.md is what tools/write_w3c_page.py writes, and nothing of the IDL is missing in silence."""

from __future__ import annotations

from pathlib import Path

from tools import write_w3c_page

PAGE = Path(__file__).parents[2] / "docs" / "w3c.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == write_w3c_page.page()


def test_no_note_is_about_what_is_there() -> None:
    for each in write_w3c_page.NOTES:
        name, _, member = each.partition(".")
        cls = write_w3c_page.found(name)
        assert cls is None if not member else not write_w3c_page.has(cls, name, member), each
