"""Whether negotiation is needed.

Spec: webrtc-pc, section 4.7.3 (check if negotiation is needed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.model.text import SEND, intersect, reverse
from tests.support.model.transceiver import Transceiver

if TYPE_CHECKING:
    from tests.support.model.slots import Slots

__all__ = ["is_negotiation_needed"]


def is_negotiation_needed(slots: Slots) -> bool:
    """To check if negotiation is needed."""
    # 2.
    if slots.credentials_to_replace:
        return True
    # 3. and 4.
    if slots.has_created_channels and not _has_data(slots):
        return True
    # 5.
    return any(_is_needed(slots, each) for each in slots.transceivers)


def _has_data(slots: Slots) -> bool:
    """Departure: a section for data that was rejected has not been negotiated."""
    descriptions = slots.current_local, slots.current_remote
    data = [None if each is None else each[1].data for each in descriptions]
    return all(each is not None and not each.rejected for each in data)


def _is_needed(slots: Slots, transceiver: Transceiver) -> bool:
    local, remote = slots.current_local, slots.current_remote
    mine = None if local is None else local[1].of_mid(transceiver.jsep_mid)
    theirs = None if remote is None else remote[1].of_mid(transceiver.jsep_mid)
    # 5.1.
    if transceiver.stopping and not transceiver.stopped:
        return True
    # 5.4.
    if transceiver.stopped:
        return mine is not None and not mine.rejected and (theirs is None or not theirs.rejected)
    # 5.2.
    if mine is None or local is None:
        return True
    # 5.3.1.
    if transceiver.direction in SEND and (
        not mine.msids or sorted(mine.streams) != sorted(transceiver.streams)
    ):
        return True
    their_direction = None if theirs is None else reverse(theirs.direction)
    if local[0] == "offer":
        # 5.3.2.
        return transceiver.direction not in (mine.direction, their_direction)
    # 5.3.3.
    assert theirs is not None
    return mine.direction != intersect(transceiver.direction, reverse(theirs.direction))
