"""Descriptions in the shape of browsers': where lines stand, and at which level, as it was recorded of them.

The recordings are those of `tests/support/sdp_corpus`. What a description says stays the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["SHAPES", "shape"]

CORPUS = Path(__file__).parents[1] / "sdp_corpus"

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")

PAIRED = ("rtpmap", "fmtp", "rtcp-fb")
"""Lines of a format, which Chromium writes together, and Firefox by their names."""

SHAPES = {
    "chromium": "chromium_audio-video-data-max-bundle",
    "firefox": "firefox_audio-video-data-max-bundle",
}


def _name(line: str) -> str:
    name = line[2:].partition(":")[0]
    return "direction" if name in DIRECTIONS else name


def _parts(sdp: str) -> list[list[str]]:
    """Lines of the session, and of each section."""
    parts: list[list[str]] = [[]]
    for line in sdp.splitlines():
        if line.startswith("m="):
            parts.append([])
        parts[-1].append(line)
    return parts


def shape(browser: str, kind: str) -> Callable[[str], str]:
    """What brings a description into a browser's shape.

    Args:
        browser: of `SHAPES`.
        kind: "offer" or "answer": which recording.
    """
    recorded = _parts((CORPUS / f"{SHAPES[browser]}_{kind}.sdp").read_text())
    session_names = [_name(line) for line in recorded[0] if line.startswith("a=")]
    orders = {
        part[0][2:].split(" ")[0]: list(dict.fromkeys(_name(line) for line in part if line.startswith("a=")))
        for part in recorded[1:]
    }
    by_format = browser == "chromium"
    marks_bundle_only = any("a=bundle-only" in part for part in recorded[1:])

    def apply(sdp: str) -> str:
        session, *sections = _parts(sdp)
        lifted = [name for name in ("fingerprint", "ice-options") if name in session_names]
        found = {name: [line for part in sections for line in part if _name(line) == name] for name in lifted}
        for name in lifted:
            lines = list(dict.fromkeys(found[name]))
            if len(lines) == 1:  # the same everywhere: it stands once, on top
                session = [line for line in session if _name(line) != name] + lines
                sections = [[line for line in part if _name(line) != name] for part in sections]
        if "ice-options" not in session_names:
            options = [line for line in session if _name(line) == "ice-options"]
            session = [line for line in session if line not in options]
            sections = [part + (options if " 0 " not in part[0] else []) for part in sections]
        lines = _sorted(session, session_names, by_format=False)
        tagged = next(iter(re.findall("a=group:BUNDLE (\\S+)", sdp)), None)
        for part in sections:
            media = part[0]
            is_new = marks_bundle_only and "a=bundle-only" in part
            if is_new and f"a=mid:{tagged}" not in part:
                media = re.sub(" \\d+ ", " 0 ", media, count=1)
            order = orders.get(media[2:].split(" ")[0], [])
            lines += _sorted([media, *part[1:]], order, by_format=by_format)
        return "\r\n".join([*lines, ""])

    return apply


def _sorted(lines: list[str], order: list[str], *, by_format: bool) -> list[str]:
    head = [line for line in lines if not line.startswith("a=")]
    attributes = [line for line in lines if line.startswith("a=")]
    numbers = [line[9:].split(" ")[0] for line in attributes if line.startswith("a=rtpmap:")]

    def place(line: str) -> tuple[int, int, int]:
        name = _name(line)
        if by_format and name in PAIRED:
            number = line.partition(":")[2].split(" ")[0]
            at = numbers.index(number) if number in numbers else len(numbers)
            return order.index("rtpmap") if "rtpmap" in order else len(order), at, PAIRED.index(name)
        return (order.index(name) if name in order else len(order)), 0, 0

    return head + sorted(attributes, key=place)
