"""Names that people tell apart by looking: normalized, visible, and one alphabet at a time."""

from __future__ import annotations

import unicodedata

__all__ = ["MAX_NAME", "as_name", "is_polite", "looks"]

MAX_NAME = 64
"""Characters of a name, of a member or of a room."""

MAX_MARKS = 2
"""Combining marks on one letter: as many as Vietnamese needs, and none that climb into the line above."""

INVISIBLE = frozenset(
    # Default_Ignorable_Code_Point and blanks that are neither format characters nor spaces:
    # CGJ, fillers of Hangul, Khmer's inherent vowels, Braille's empty cell, a note head of nothing
    [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0x1D159]
)
SELECTORS = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0000, 0xE1000))
"""Variation selectors and tags."""

EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "KATAKANA-HIRAGANA"})
"""Scripts that are written together, and with Latin letters among them."""

LATIN_TWINS = str.maketrans(
    # after casefold: Cyrillic, Greek, Armenian, and Latin letters that look like others
    "\u0430\u0432\u0435\u0437\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0455\u0456\u0458\u0501\u051b\u051d\u04bb\u04cf\u04ae\u04af\u0475"
    "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u03f2\u03f3"
    "\u0585\u057d\u0570\u0578\u0581\u0131\u0237\u0251\u0261\u0269",
    "abe3kmhopctyxsijdqwhlyyvabeznikuvoptuxcjouhngijagi",
)
"""A choice of the confusables of UTS 39, section 4."""


def as_name(text: str) -> str:
    """A text as a name, NFKC without the space around it; "" if it is none.

    None is what is empty or too long, holds a character that shows nothing or directs others, begins with a
    mark that combines, has more than `MAX_MARKS` of them in a row, or mixes alphabets.

    Spec: UAX 15, UTS 39 sections 3 and 5.2.
    """
    normal = unicodedata.normalize("NFKC", text).strip()
    name = " ".join(normal.split())
    if not 0 < len(name) <= MAX_NAME or not normal.isprintable():
        return ""
    marks = MAX_MARKS  # of nothing: none may follow
    for letter in unicodedata.normalize("NFD", name):
        if invisible(ord(letter)):
            return ""
        marks = marks + 1 if unicodedata.category(letter) in ("Mn", "Me") else 0
        if marks > MAX_MARKS:
            return ""
    scripts = {script for letter in name if (script := script_of(letter))}
    if len(scripts) > 1 and not scripts <= EAST_ASIAN | {"LATIN"}:
        return ""
    return name


def looks(name: str) -> str:
    """The same for any two names that look the same, or nearly so."""
    folded = unicodedata.normalize("NFKC", name.casefold()).translate(LATIN_TWINS)
    return folded.translate({ord("0"): "o", ord("1"): "l", ord("i"): "l", ord("|"): "l"})


def is_polite(ours: str, theirs: str) -> bool:
    """Whether our name is the greater one, as browsers compare: by UTF-16 code units, not by characters."""
    return ours.encode("utf-16-be") > theirs.encode("utf-16-be")


def invisible(point: int) -> bool:
    """Whether a character that counts as printable shows nothing."""
    return point in INVISIBLE or any(point in selectors for selectors in SELECTORS)


def script_of(letter: str) -> str:
    """The script of a letter, as the first word of its name; "" for what all scripts share."""
    if unicodedata.category(letter) not in ("Lu", "Ll", "Lt", "Lo"):
        return ""
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0]
