"""The one place that holds where a connection's negotiation stands."""

from __future__ import annotations

from rtcstack.jsep import Negotiation

__all__ = ["NegotiationState"]


class NegotiationState:
    """Holds the frozen value that the negotiator replaces, for all that read it.

    Attributes:
        negotiation: the value.
    """

    __slots__ = ("negotiation",)

    def __init__(self) -> None:
        self.negotiation = Negotiation.initial()
