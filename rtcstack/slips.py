"""Slips of the application that the W3C has ignored: each is said once a process, in the log."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable

__all__ = ["MAX_SLIPS", "say_unknown"]

logger = logging.getLogger("rtcstack.slips")

MAX_SLIPS = 256
"""Different ones that are said: the names may come from anywhere."""

_said: set[tuple[str, str]] = set()


def say_unknown(owner: str, what: str, name: object, known: Iterable[str]) -> None:
    """A name is not known, and therefore without effect.

    Args:
        owner: who would have to know it.
        what: "event" or "member".
        name: as it was given.
        known: what there is; the likeliest is proposed.
    """
    text = str(name)[:80]
    if (owner, text) in _said or len(_said) >= MAX_SLIPS:
        return
    _said.add((owner, text))
    meant = difflib.get_close_matches(text, list(known), n=1)
    proposal = f"; did you mean {meant[0]!r}?" if meant else ""
    logger.warning("%s has no %s %r: it is ignored%s", owner, what, text, proposal)
