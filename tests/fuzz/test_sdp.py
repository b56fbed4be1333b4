"""Whatever the text, the parser returns a value or a ParseError with a line, and keeps its word."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rtcstack.errors import ParseError
from rtcstack.sdp import Candidate, SessionDescription, parse_session, write_session

CORPUS = [
    path.read_bytes().decode()
    for path in sorted((Path(__file__).parents[1] / "support" / "sdp_corpus").glob("*_offer.sdp"))
]

ACCESSORS = [
    name
    for name, value in vars(type(parse_session(CORPUS[0]).media[0])).items()
    if isinstance(value, property)
]


def check(text: str) -> None:
    line: int | None = 0
    try:
        description = parse_session(text)
    except ParseError as error:
        line = error.line
    if line != 0:
        assert line in range(1, text.count("\n") + 2)
        return
    exercise(description)
    again = parse_session(write_session(description))
    assert again == description
    assert write_session(again) == write_session(description)


def exercise(description: SessionDescription) -> None:
    """No accessor fails on what the parser let through."""
    for media in description.media:
        for name in ACCESSORS:
            getattr(media, name)
        description.bundle_of(media.mid)


@given(st.text())
def test_any_text(text: str) -> None:
    check(text)


LINE = st.one_of(
    st.sampled_from(sorted({line for text in CORPUS for line in text.split("\r\n")})),
    st.builds("{}={}".format, st.sampled_from("vosiuepcbtrzkam"), st.text(max_size=30)),
    st.builds(
        "a={}:{}".format,
        st.sampled_from(
            sorted({line[2:].partition(":")[0] for text in CORPUS for line in text.split("\r\n")[4:] if line})
        ),
        st.text("0123456789 /;=,~.*:abcxyz-", max_size=30),
    ),
)


@given(st.lists(LINE, max_size=30))
def test_any_lines(lines: list[str]) -> None:
    check("\r\n".join(["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", *lines]))


@settings(max_examples=300)
@given(st.data())
def test_broken_offers(data: st.DataObject) -> None:
    """A real offer with lines removed, doubled, swapped, cut or overwritten."""
    lines = data.draw(st.sampled_from(CORPUS)).split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(("remove", "double", "swap", "cut", "write"))):
            case "remove" if len(lines) > 1:
                del lines[place]
            case "double":
                lines.insert(place, lines[place])
            case "swap":
                other = data.draw(st.integers(0, len(lines) - 1))
                lines[place], lines[other] = lines[other], lines[place]
            case "cut":
                lines[place] = lines[place][: data.draw(st.integers(0, 40))]
            case _:
                at = data.draw(st.integers(0, len(lines[place])))
                lines[place] = lines[place][:at] + data.draw(st.text(max_size=3)) + lines[place][at + 1 :]
    check("\r\n".join(lines))


@given(st.one_of(st.text(), st.lists(st.text(" 0129abc.:", max_size=8), max_size=14).map(" ".join)))
def test_any_candidate(text: str) -> None:
    try:
        candidate = Candidate.parse(text)
    except ParseError:
        return
    assert Candidate.parse(str(candidate)) == candidate
