"""Which transceivers share a transport: as the bundle policy says, and then as the answer does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtcstack.compat.aiortc.rtcconfiguration import RTCBundlePolicy
from rtcstack.compat.aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport
from rtcstack.compat.aiortc.rtcicetransport import RTCIceGatherer, RTCIceTransport

if TYPE_CHECKING:
    from rtcstack.api.dtlstransport import RTCDtlsTransport as NativeTransport
    from rtcstack.compat.aiortc.rtcrtptransceiver import RTCRtpTransceiver
    from rtcstack.compat.aiortc.rtcsctptransport import RTCSctpTransport

__all__ = ["Transports"]


class Transports:
    """The transports of one connection, from before there is a description on.

    Args:
        policy: of the connection.
        certificates: of this end.
        wrong: what is wrong with the configuration.
    """

    def __init__(
        self, policy: RTCBundlePolicy, certificates: list[RTCCertificate], wrong: ValueError | None
    ) -> None:
        self._policy = policy
        self._wrong = wrong
        self._certificates = certificates
        self._shared: dict[str, RTCDtlsTransport] = {}
        self._all: list[RTCDtlsTransport] = []
        self._shown: dict[NativeTransport, RTCDtlsTransport] = {}

    def check(self) -> None:
        """Before there is more to carry.

        Raises:
            ValueError: the configuration's servers cannot be read.
        """
        if self._wrong is not None:
            raise self._wrong

    def _new(self) -> RTCDtlsTransport:
        gatherer = RTCIceGatherer([])  # a connection's own asks the connection's servers
        transport = RTCDtlsTransport(RTCIceTransport(gatherer), self._certificates)
        self._all.append(transport)
        return transport

    def of_media(self, kind: str) -> RTCDtlsTransport:
        """What a new transceiver of this kind uses."""
        if self._policy is RTCBundlePolicy.MAX_COMPAT:
            return self._new()
        return self._of("all" if self._policy is RTCBundlePolicy.MAX_BUNDLE else kind)

    def of_data(self) -> RTCDtlsTransport:
        """What data channels use."""
        return self._of("all" if self._policy is RTCBundlePolicy.MAX_BUNDLE else "data")

    def _of(self, group: str) -> RTCDtlsTransport:
        transport = self._shared.get(group)
        if transport is None:
            transport = self._shared[group] = self._new()
        return transport

    def follow(self, transceivers: Iterable[RTCRtpTransceiver], sctp: RTCSctpTransport | None) -> None:
        """A description was applied: everything has the transport now that this stack gives it.

        Args:
            transceivers, sctp: of the connection.
        """
        for transceiver in transceivers:
            native = transceiver.native.sender.transport
            if native is not None:
                transport = self._show(native, transceiver.sender.transport)
                transceiver.sender.setTransport(transport)
                transceiver.receiver.setTransport(transport)
        if sctp is not None and sctp.native is not None:
            sctp.setTransport(self._show(sctp.native.transport, sctp.transport))
        used = {each.sender.transport for each in transceivers} | ({sctp.transport} if sctp else set())
        for transport in self._all:
            if transport not in used:
                transport.end()
        self._all = [transport for transport in self._all if transport in used]

    def _show(self, native: NativeTransport, wanted: RTCDtlsTransport) -> RTCDtlsTransport:
        """What shows a transport of this stack's: `wanted`, where that does not show another one."""
        shown = self._shown.get(native)
        if shown is None:
            shown = self._new() if wanted in self._shown.values() else wanted
            shown.bind(native)
            self._shown[native] = shown
        return shown

    def close(self) -> None:
        """The connection is closed."""
        for transport in self._all:
            transport.end()
