"""Which object shows which part: each part has one, made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from rtcstack.api.dtlstransport import RTCDtlsTransport
from rtcstack.api.home import Home
from rtcstack.api.transportslots import TransportSlots
from rtcstack.promises import OperationsChain

if TYPE_CHECKING:
    from rtcstack.api.stats import RTCStatsReport
    from rtcstack.api.transceiver import RTCRtpTransceiver
    from rtcstack.connection.stats import Chosen
    from rtcstack.connection.transceivers import Transceiver
    from rtcstack.connection.transportentry import TransportEntry

__all__ = ["Faces"]

Gone = tuple[TransportSlots, RTCDtlsTransport | None]


class Faces:
    """The identity cache of a connection.

    Args:
        home, chain: of the connection.
        collect: makes a report of a sender or receiver.
        on_changed: something was changed that the peer may have to be told of.
        opus_parameters: what this connection asks of a peer's Opus, if it can receive it.
        is_connected: whether the connection is "connected".
    """

    __slots__ = (
        "_chain",
        "_collect",
        "_home",
        "_is_connected",
        "_on_changed",
        "_opus_parameters",
        "_past",
        "_slots",
        "_transceivers",
        "_transports",
    )

    def __init__(
        self,
        home: Home,
        chain: OperationsChain,
        collect: Callable[[Chosen], RTCStatsReport],
        on_changed: Callable[[], None],
        opus_parameters: Callable[[], str | None],
        is_connected: Callable[[], bool],
    ) -> None:
        self._home = home
        self._chain = chain
        self._collect = collect
        self._on_changed = on_changed
        self._opus_parameters = opus_parameters
        self._is_connected = is_connected
        self._transceivers: dict[Transceiver, RTCRtpTransceiver] = {}
        self._slots: dict[TransportEntry, TransportSlots] = {}
        self._transports: dict[TransportEntry, RTCDtlsTransport] = {}
        self._past: WeakValueDictionary[TransportEntry, RTCDtlsTransport] | None = None

    def transceiver(self, part: Transceiver) -> RTCRtpTransceiver:
        """What shows a transceiver."""
        face = self._transceivers.get(part)
        if face is None:
            from rtcstack.api.receiver import RTCRtpReceiver
            from rtcstack.api.sender import RTCRtpSender
            from rtcstack.api.transceiver import RTCRtpTransceiver

            face = self._transceivers[part] = RTCRtpTransceiver(
                part,
                self._home,
                RTCRtpSender(
                    part.sender,
                    self._home,
                    self._chain,
                    self.transport,
                    self._collect,
                    self._on_changed,
                    self._is_connected,
                ),
                RTCRtpReceiver(part.receiver, self._home, self.transport, self._collect),
                self._on_changed,
                self._opus_parameters,
            )
        return face

    def transport(self, entry: TransportEntry) -> RTCDtlsTransport:
        """What shows a transport; one that is gone is shown as closed."""
        face = self.shown(entry)
        if face is None and entry.in_use:
            face = self._transports[entry] = RTCDtlsTransport(self.slots(entry))
        elif face is None:
            slots = TransportSlots(entry, self._home)
            slots.close()
            face = RTCDtlsTransport(slots)
            self._remember(entry, face)
        return face

    def _remember(self, entry: TransportEntry, face: RTCDtlsTransport) -> None:
        if self._past is None:
            self._past = WeakValueDictionary()
        self._past[entry] = face

    def slots(self, entry: TransportEntry) -> TransportSlots:
        """What is shown of a transport, whether anybody looks or not."""
        slots = self._slots.get(entry)
        if slots is None:
            slots = self._slots[entry] = TransportSlots(entry, self._home)
        return slots

    def shown(self, entry: TransportEntry) -> RTCDtlsTransport | None:
        """What shows a transport, if anybody has asked for it: who is to hear its events."""
        shown = self._transports.get(entry)
        return self._past.get(entry) if shown is None and self._past is not None else shown

    def keep(self, transceivers: Iterable[Transceiver], transports: Iterable[TransportEntry]) -> list[Gone]:
        """Let go of what shows others: who holds such an object may go on reading it.

        Returns:
            The transports that are gone, each with what shows it, if anything does.
        """
        self._transceivers = {
            part: self._transceivers[part] for part in transceivers if part in self._transceivers
        }
        live = set(transports)
        gone = [
            (slots, self._transports.get(entry)) for entry, slots in self._slots.items() if entry not in live
        ]
        for slots, shown in gone:
            del self._slots[slots.entry]
            if shown is not None:
                self._remember(slots.entry, self._transports.pop(slots.entry))
        return gone

    def forget_parameters(self) -> None:
        """An answer was set: what getParameters has returned counts no more (webrtc-pc, section 4.4.1.5)."""
        if not self._transceivers:
            return
        from rtcstack.api.sender import forget_parameters

        for face in self._transceivers.values():
            forget_parameters(face.sender)

    def close(self) -> None:
        """All transports are closed, and nobody is told."""
        for slots in self._slots.values():
            slots.close()
