"""The legacy forms of RTCPeerConnection's methods: callbacks in place of promises, and an offer's options.

Spec: webrtc-pc, section 4.4.3 (legacy interface extensions).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rtcstack.promises import Operation, settled, upon
from rtcstack.sdp import Direction

if TYPE_CHECKING:
    from rtcstack.connection.transceivers import TransceiverSet

__all__ = ["callbacks_allowed", "offer_to_receive"]

M = TypeVar("M", bound=Callable[..., Any])


def callbacks_allowed(leading: int) -> Callable[[M], M]:
    """A method that also has a legacy form: with a callback for success and one for failure (sections
    4.4.3.1.1 to 4.4.3.1.5). Such a call gives a promise that is resolved already, and what the operation
    comes to, only the callbacks hear.

    Args:
        leading: arguments that stand before the callbacks.
    """

    def allowed(method: M) -> M:
        @functools.wraps(method)
        def called(self: object, /, *arguments: Any, **members: Any) -> Operation[Any]:
            if len(arguments) < 2:
                return method(self, *arguments, **members)  # type: ignore[no-any-return]
            succeeded, failed = (*arguments[leading : leading + 2], None)[:2]
            if not callable(succeeded) or not callable(failed):
                raise TypeError(
                    f"{method.__name__} takes a callback for success and one for failure, or neither"
                )
            others = arguments[:leading] + arguments[leading + 2 :]
            upon(method(self, *others[:1], **members), succeeded, failed)
            return settled(None)

        return cast("M", called)

    return allowed


def offer_to_receive(options: Mapping[str, Any], transceivers: TransceiverSet) -> None:
    """The legacy options of an offer, as transceivers (section 4.4.3.3). Nothing needs a negotiation for it:
    the offer is being made.

    Args:
        options: of createOffer.
        transceivers: of the connection.
    """
    for kind in ("audio", "video"):
        wanted = options.get(f"offerToReceive{kind.capitalize()}")
        if wanted is None:
            continue
        mine = [each for each in transceivers.all if each.kind == kind and not each.stopping]
        if not wanted:
            for each in mine:
                each.direction = Direction.of(send=each.direction.send, recv=False)
        elif not any(each.direction.recv for each in mine):
            transceivers.add(kind, Direction.RECVONLY)
