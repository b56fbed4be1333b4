"""RTCIceTransport with an `RTCIceGatherer` of its own.

Spec: ORTC, section 3; webrtc-ice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtcstack.api.description import RTCIceCandidate
from rtcstack.api.dictionaries import as_dictionary, enum_member
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.api.icetransport import RTCIceRole
from rtcstack.api.icetransport import RTCIceTransport as NegotiatedIceTransport
from rtcstack.engine import Run
from rtcstack.errors import InvalidAccessError, InvalidStateError, OperationError, ParseError
from rtcstack.events import HandlerAttribute
from rtcstack.ortc.icegatherer import RTCIceGatherer, source_of
from rtcstack.ortc.source import IceSource
from rtcstack.sdp.candidate import Candidate

__all__ = ["RTCIceTransport"]

MAX_REMOTE_CANDIDATES = 256
"""Candidates of the peer that `getRemoteCandidates` remembers."""


class RTCIceTransport(NegotiatedIceTransport):
    """A path that the application starts, and whose packets it sends.

    Events: those of a connection's, and message, with a packet of the peer's.

    Args:
        iceGatherer: one that no other transport has.

    Raises:
        InvalidStateError: the gatherer has a transport, or is closed.

    Spec: ORTC, section 3.
    """

    onmessage = HandlerAttribute("message")

    def __init__(self, iceGatherer: RTCIceGatherer) -> None:
        own = source_of(iceGatherer)
        if own.transport is not None or own.is_closed:
            raise InvalidStateError("the gatherer belongs to a transport, or is closed")
        super().__init__(own)
        own.transport = self
        self._own = own
        self._gatherer = iceGatherer

    @property
    def iceGatherer(self) -> RTCIceGatherer:
        """Where its candidates come from."""
        return self._gatherer

    def _open(self, method: str) -> IceSource:
        if self._own.is_closed:
            raise InvalidStateError(f"{method} on a transport that is closed")
        return self._own

    def start(
        self,
        remoteParameters: RTCIceParameters | Mapping[str, Any],
        role: RTCIceRole | str = RTCIceRole.CONTROLLED,
    ) -> None:
        """Start checks; with other parameters than before, restart.

        Args:
            remoteParameters: the peer's credentials.
            role: "controlling" or "controlled".

        Raises:
            InvalidStateError: it is closed.
            InvalidAccessError: the credentials are too short.
            TypeError: an argument is of the wrong type.
        """
        source = self._open("start")
        remote = as_dictionary(RTCIceParameters, remoteParameters)
        if len(remote.usernameFragment) < 4 or len(remote.password) < 22:
            raise InvalidAccessError("a ufrag has 4 characters at least, a password 22")
        wanted = enum_member(RTCIceRole, "role", role)
        if wanted is RTCIceRole.UNKNOWN:
            raise TypeError('role must be "controlling" or "controlled"')
        if source.agent.remote_ufrag not in (None, remote.usernameFragment):
            raise InvalidStateError("start: call restart first, and signal the new parameters")
        source.is_started = True
        source.agent.start(
            remote.usernameFragment, remote.password, controlling=wanted is RTCIceRole.CONTROLLING
        )

    def restart(self) -> RTCIceParameters:
        """Make new credentials and gather again; packets take the old pair until there is a new one.

        Returns:
            The new local credentials, for the peer; `start` takes the peer's.
        """
        source = self._open("restart")
        source.agent.restart()
        source.signalled.clear()
        source.agent.gather()
        return RTCIceParameters(source.agent.ufrag, source.agent.pwd)

    def addRemoteCandidate(self, candidate: RTCIceCandidate | Mapping[str, Any] | None) -> None:
        """Take a candidate of the peer; None when there are no more.

        Raises:
            InvalidStateError: it is closed.
            OperationError: the candidate cannot be read.
        """
        source = self._open("addRemoteCandidate")
        text = "" if candidate is None else _text(candidate)
        if not text:
            source.agent.end_of_remote_candidates()
            return
        try:
            parsed = Candidate.parse(text)
        except ParseError as exc:
            raise OperationError(str(exc)) from None
        if len(source.signalled) < MAX_REMOTE_CANDIDATES:
            source.signalled.append(parsed)
        source.agent.add_remote_candidate(parsed)

    def send(self, packet: bytes) -> None:
        """Send a packet of a protocol that shares the port with STUN: its first byte is 20 to 63, as
        in DTLS, or 128 to 191, as in SRTP (RFC 7983). Dropped while there is no path.

        Raises:
            InvalidStateError: it is closed.
            TypeError: the packet is empty, or begins otherwise.
        """
        source = self._open("send")
        if not packet or not (20 <= packet[0] < 64 or 128 <= packet[0] < 192):
            raise TypeError("a packet's first byte must be 20 to 63 or 128 to 191")
        source.agent.send_runs([Run(bytes(packet), len(packet))])

    def stop(self) -> None:
        """Close the transport and its gatherer."""
        self._open("stop").close()


def _text(candidate: RTCIceCandidate | Mapping[str, Any]) -> str:
    text = candidate.get("candidate", "") if isinstance(candidate, Mapping) else candidate.candidate
    if not isinstance(text, str):
        raise TypeError(f"candidate must be a str, not {type(text).__name__}")
    return text
