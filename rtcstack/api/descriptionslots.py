"""The descriptions of a connection, as objects that stay the same while they are in force.

Spec: webrtc-pc, section 4.4.1.1: [[PendingLocalDescription]], [[CurrentLocalDescription]], and the remote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtcstack.api.description import RTCSdpType, RTCSessionDescription

if TYPE_CHECKING:
    from rtcstack.connection.state import NegotiationState
    from rtcstack.jsep import Description

__all__ = ["DescriptionSlots", "as_session_description"]


def as_session_description(description: Description) -> RTCSessionDescription:
    """A description as the application sees it."""
    return RTCSessionDescription(RTCSdpType(description.type.value), description.sdp)


class DescriptionSlots:
    """One side's descriptions. Candidates are added to the objects that are there.

    Args:
        state: where the negotiation stands.
        is_local: whose they are.
    """

    __slots__ = ("_current", "_is_local", "_pending", "_state")

    def __init__(self, state: NegotiationState, *, is_local: bool) -> None:
        self._state = state
        self._is_local = is_local
        self._pending: RTCSessionDescription | None = None
        self._current: RTCSessionDescription | None = None

    @property
    def pending(self) -> RTCSessionDescription | None:
        """That of the exchange under way."""
        return self._pending

    @property
    def current(self) -> RTCSessionDescription | None:
        """That of the last exchange that was completed."""
        return self._current

    @property
    def either(self) -> RTCSessionDescription | None:
        """The pending one, else the current one."""
        return self._current if self._pending is None else self._pending

    def advance(self, *, was_set: bool, is_answer: bool) -> None:
        """A description was applied (webrtc-pc, section 4.4.1.5).

        Args:
            was_set: on this side.
            is_answer: it has completed the exchange.
        """
        pending, current = self._described()
        if is_answer and not was_set:
            self._current = self._pending  # the offer that was answered
        elif is_answer:
            self._current = None if current is None else as_session_description(current)
        if pending is None:
            self._pending = None
        elif was_set or self._pending is None:
            self._pending = as_session_description(pending)
        self.refresh()

    def refresh(self) -> None:
        """Candidates have come: they are in the texts."""
        for slot, description in zip((self._pending, self._current), self._described(), strict=True):
            if slot is not None and description is not None:
                slot.sdp = description.sdp

    def _described(self) -> tuple[Description | None, Description | None]:
        negotiation = self._state.negotiation
        if self._is_local:
            return negotiation.pending_local, negotiation.current_local
        return negotiation.pending_remote, negotiation.current_remote
