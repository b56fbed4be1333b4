"""Every example of the documentation runs, as it is written."""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rtcstack import RTCPeerConnection
from rtcstack.ice import IceFeature
from rtcstack.testing import VirtualLoop
from tests.support.docsworld import World, world

ROOT = Path(__file__).parents[2]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

MOST_NOT_RUN = 3
"""Examples that say why they are not run here."""

_BLOCK = re.compile(r"(?:<!-- not run: (?P<why>[^\n]+) -->\n\n?)?```python\n(?P<code>.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """A block of a page."""

    page: str
    number: int
    code: str
    why_not: str | None


def examples() -> list[Example]:
    """All of them."""
    found = []
    for path in PAGES:
        for number, match in enumerate(_BLOCK.finditer(path.read_text()), 1):
            found.append(Example(path.stem, number, match["code"], match["why"]))
    return found


ALL = examples()


async def fastapi(made: World, names: dict[str, Any]) -> None:
    """The route of the example answers an offer."""
    async with RTCPeerConnection() as browser:
        browser.createDataChannel("chat")
        await browser.setLocalDescription()
        answer = await names["call"]((await browser.gathered()).toJSON())
        assert answer["type"] == "answer"
        with pytest.raises(names["HTTPException"]):
            await names["call"]({"type": "offer", "sdp": "rubbish"})
        assert len(names["connections"]) == 1
        await names["close"]()


CHECKS: dict[tuple[str, int], Callable[[World, dict[str, Any]], Coroutine[Any, Any, None]]] = {
    ("fastapi", 1): fastapi,
}
"""What is tried with what an example has defined."""


def asked(example: Example) -> list[pytest.MarkDecorator]:
    """What of ICE an example cannot do without."""
    is_used = "lite=True" in example.code and example.page == "deployment"
    return [pytest.mark.needs(IceFeature.LITE)] if is_used else []


LONG_S = 60.0


def waits_s(example: Example) -> float:
    """How long it sleeps."""
    return sum(float(each) for each in re.findall(r"asyncio\.sleep\(([\d.]+)\)", example.code))


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    """An example may set levels and handlers: they are of its own program."""
    root, manager = logging.getLogger(), logging.root.manager
    handlers = list(root.handlers)
    yield
    root.handlers[:] = handlers
    for name in list(manager.loggerDict):
        if name.startswith("rtcstack"):
            logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    "example", [pytest.param(each, id=f"{each.page}-{each.number}", marks=asked(each)) for each in ALL]
)
async def test_an_example_runs(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = compile(example.code, f"{example.page}.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if example.why_not is not None:
        return  # it has the right form, at least
    if waits_s(example) > LONG_S and not isinstance(asyncio.get_running_loop(), VirtualLoop):
        pytest.skip("waits for minutes: in virtual time only")
    monkeypatch.chdir(tmp_path)
    async with asyncio.timeout(2000), world(example.page, tmp_path, hears=".pcm(" in example.code) as made:
        names = made.names
        what = eval(code, names)
        if inspect.iscoroutine(what):
            await what
        check = CHECKS.get((example.page, example.number))
        if check is not None:
            await check(made, names)
        await made.go_on()


def test_few_examples_are_not_run_and_each_says_why() -> None:
    assert len(ALL) > 40
    assert sum(each.why_not is not None for each in ALL) <= MOST_NOT_RUN


def test_how_tos_are_short_and_each_is_for_a_job_on_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = sorted((ROOT / "docs" / "how-to").glob("*.md"))
    assert len(pages) >= 8
    for page in pages:
        assert len(page.read_text().splitlines()) <= 60, page.name
        assert f"](how-to/{page.name})" in index, page.name
