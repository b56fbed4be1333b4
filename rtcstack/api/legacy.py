"""The legacy forms of RTCPeerConnection's methods: callbacks in place of promises, and an offer's options.

Spec: webrtc-pc, section 4.4.3 (legacy interface extensions).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rtcstack.api.promises import Operation, settled, upon
from rtcstack.sdp import Direction

if TYPE_CHECKING:
    from rtcstack.connection.transceivers import TransceiverSet

__all__ = ["called_back", "offer_to_receive"]


def called_back(
    name: str, callbacks: tuple[object, ...], begin: Callable[[], Operation[Any]]
) -> Operation[None]:
    """The legacy form of a method (sections 4.4.3.1.1 to 4.4.3.1.5).

    Args:
        name: of the method.
        callbacks: what it was called with: to be a function of the result, and one of the error.
        begin: runs the method's other form.

    Returns:
        A promise that is resolved already: what the operation comes to, only the callbacks hear.

    Raises:
        TypeError: these are not two functions; then nothing has begun.
    """
    succeeded, failed = (*callbacks, None, None)[:2]
    if len(callbacks) != 2 or not callable(succeeded) or not callable(failed):
        raise TypeError(f"{name} takes a callback for success and one for failure, or none of both")
    upon(begin(), succeeded, failed)
    return settled(None)


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
