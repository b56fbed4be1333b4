"""Which object shows which part: each part has one, made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from weakref import WeakValueDictionary

from rtcstack.api.dtlstransport import RTCDtlsTransport
from rtcstack.api.home import Home
from rtcstack.api.receiver import RTCRtpReceiver
from rtcstack.api.sender import RTCRtpSender
from rtcstack.api.transceiver import RTCRtpTransceiver
from rtcstack.connection.transceivers import Transceiver
from rtcstack.connection.transports import TransportEntry

__all__ = ["Faces"]


class Faces:
    """The identity cache of a connection.

    Args:
        home: of the connection.
        on_changed: something was changed that the peer may have to be told of.
        opus_parameters: what this connection asks of a peer's Opus, if it can receive it.
    """

    def __init__(
        self, home: Home, on_changed: Callable[[], None], opus_parameters: Callable[[], str | None]
    ) -> None:
        self._home = home
        self._on_changed = on_changed
        self._opus_parameters = opus_parameters
        self._transceivers: dict[Transceiver, RTCRtpTransceiver] = {}
        self._transports: dict[TransportEntry, RTCDtlsTransport] = {}
        self._past: WeakValueDictionary[TransportEntry, RTCDtlsTransport] = WeakValueDictionary()

    def transceiver(self, part: Transceiver) -> RTCRtpTransceiver:
        """What shows a transceiver."""
        face = self._transceivers.get(part)
        if face is None:
            face = self._transceivers[part] = RTCRtpTransceiver(
                part,
                self._home,
                RTCRtpSender(part.sender, self._home, self.transport, self._on_changed),
                RTCRtpReceiver(part.receiver, self._home, self.transport),
                self._on_changed,
                self._opus_parameters,
            )
        return face

    def transport(self, entry: TransportEntry) -> RTCDtlsTransport:
        """What shows a transport."""
        face = self.shown(entry)
        if face is None:
            face = self._transports[entry] = RTCDtlsTransport(entry)
        return face

    def shown(self, entry: TransportEntry) -> RTCDtlsTransport | None:
        """What shows a transport, if anybody has asked for it: who is to hear its events."""
        return self._transports.get(entry) or self._past.get(entry)

    def keep(self, transceivers: Iterable[Transceiver], transports: Iterable[TransportEntry]) -> None:
        """Let go of what shows others: who holds such an object may go on reading it."""
        self._transceivers = {
            part: self._transceivers[part] for part in transceivers if part in self._transceivers
        }
        live = {entry: self._transports[entry] for entry in transports if entry in self._transports}
        self._past.update((p, f) for p, f in self._transports.items() if p not in live)
        self._transports = live
