"""The negotiation-needed flag.

Spec: webrtc-pc, section 4.7.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rtcstack.api.home import Home
from rtcstack.events import Event, EventTarget
from rtcstack.jsep.states import SignalingState
from rtcstack.promises import OperationsChain

if TYPE_CHECKING:
    from rtcstack.connection.connection import Connection

__all__ = ["NegotiationNeeded"]


class NegotiationNeeded:
    """Whether the application has to negotiate, and whether it knows ([[NegotiationNeeded]]).

    Args:
        target: fires "negotiationneeded".
        home: whether the connection is closed.
    """

    __slots__ = (
        "_chain",
        "_connection",
        "_home",
        "_is_needed",
        "_is_queued",
        "_target",
        "_update_on_empty_chain",
    )

    def __init__(self, target: EventTarget, home: Home) -> None:
        self._target = target
        self._home = home
        self._chain: OperationsChain | None = None
        self._connection: Connection | None = None
        self._is_needed = False
        self._update_on_empty_chain = False
        self._is_queued = False

    def watch(self, chain: OperationsChain, connection: Connection) -> None:
        """Say what it is that is negotiated."""
        self._chain, self._connection = chain, connection

    def clear(self) -> None:
        """What was needed has been negotiated."""
        self._is_needed = False

    def update(self) -> None:
        """Something was changed that the peer may have to be told of (section 4.7.3)."""
        if self._home.is_closed:
            return
        assert self._chain is not None
        # 1. If the operations chain is not empty, it is looked at again when it is.
        if not self._chain.is_empty:
            self._update_on_empty_chain = True
        # 2. Queue a task; one that is queued already does for all.
        elif not self._is_queued:
            loop = asyncio._get_running_loop()
            if loop is None:  # a program that has not begun yet: it is looked at after its first operation
                self._update_on_empty_chain = True
                return
            self._is_queued = True
            loop.call_soon(self._check)

    def on_empty_chain(self) -> None:
        """The operations chain has run dry."""
        if self._update_on_empty_chain:
            self._update_on_empty_chain = False
            self.update()

    def _check(self) -> None:
        self._is_queued = False
        chain, connection = self._chain, self._connection
        assert chain is not None
        assert connection is not None
        # 2.1. and 2.2.
        if self._home.is_closed:
            return
        if not chain.is_empty:
            self._update_on_empty_chain = True
            return
        # 2.3. In other states the end of the exchange looks again.
        if connection.negotiation.state is not SignalingState.STABLE:
            return
        # 2.4. to 2.7.
        if not connection.negotiator.is_needed:
            self._is_needed = False
        elif not self._is_needed:
            self._is_needed = True
            self._target.dispatchEvent(Event("negotiationneeded"))
