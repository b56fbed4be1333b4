"""The example of docs/testing.md runs, and says what the page says."""

from __future__ import annotations

from examples import virtual_internet
from rtcstack.testing import run


def test_the_example_of_the_documentation() -> None:
    heard = run(virtual_internet.main(), internet=virtual_internet.internet)
    assert heard[0] == "hello"
    assert heard[1].startswith("disconnected at 16")
