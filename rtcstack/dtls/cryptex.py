"""SRTP with header extensions and contributing sources encrypted, for peers that agreed to it.

libsrtp as pylibsrtp has it knows nothing of this, and a source has one rollover counter and one
replay window, whatever form its packets have. So where it was agreed, all RTP goes through this
file, in either form; RTCP, which it does not change, stays libsrtp's.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |V=2|P|1|  CC   |M|     PT      |       sequence number         |
    |                           timestamp                           |
    |                              SSRC                             |
    |        contributing sources, encrypted (4 * CC bytes)         |
    |  0xC0 or 0xC2 |     0xDE      |      length, in words         |
    |     header extensions, payload and padding, encrypted         |
    |                      authentication tag                       |

Spec: RFC 9335; RFC 3711, section 3.3 (packet index and replays).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rtcstack.dtls.srtp import MAX_PACKET_BYTES, MAX_REMOTE_SSRCS, REPLAY_WINDOW, SEND_WINDOW, SrtpContext
from rtcstack.dtls.srtp_cipher import make_cipher
from rtcstack.dtls.srtp_keys import SrtpKeys
from rtcstack.dtls.srtp_position import NoIndexError, newest_index
from rtcstack.refusals import Refusals

__all__ = ["MAX_LOCAL_SSRCS", "CryptexContext"]

MAX_LOCAL_SSRCS = 65_536
"""Sources of ours whose counters are kept. None is ever forgotten, for one that came back would use
its nonces again: packets of any further ones are not sent."""

_INDICES = 1 << 48
_SEEN = (1 << REPLAY_WINDOW) - 1
_MIN_BYTES = 8
_HEADER_BYTES = 12

_ENCRYPTED = {b"\xbe\xde": b"\xc0\xde", b"\x10\x00": b"\xc2\xde"}
"""What stands for one-byte and two-byte header extensions when they are encrypted. Two-byte ones that
use their "appbits" have no such form, nor have extensions of other specifications."""
_CLEAR = {encrypted: clear for clear, encrypted in _ENCRYPTED.items()}


class _Sent:
    """Where a source of ours stands.

    Attributes:
        nonces: what its nonces have in common.
        highest: the newest packet's index.
        changed_at: the newest packet's when encrypting headers began or ended last. What was sent up
            to there is sent again in the form that it had: in the other one its nonce would be used for
            other bytes, which gives the keys of AES-GCM away.
        floor: the same, of the change before that. Nothing is sent again from there.
    """

    __slots__ = ("changed_at", "floor", "highest", "nonces")

    def __init__(self, nonces: int, highest: int) -> None:
        self.nonces = nonces
        self.highest = highest
        self.changed_at = self.floor = -1


class _Received:
    """Where a source of the peer stands.

    Attributes:
        nonces: what its nonces have in common.
        highest: the newest authentic packet's index.
        window: a bit for each of the `REPLAY_WINDOW` packets up to that one, which is the lowest:
            whether it has come.
    """

    __slots__ = ("highest", "nonces", "window")

    def __init__(self, nonces: int, highest: int) -> None:
        self.nonces = nonces
        self.highest = highest
        self.window = 0


class CryptexContext:
    """Both directions of one transport's SRTP, with what `SrtpContext` has, and the same bounds.

    Args:
        keys: from the DTLS handshake.
        refusals: who is told of what is dropped.
        required: packets with header extensions or contributing sources in the clear are neither
            taken nor sent.
        before: what has protected this transport with the same keys up to now. Where its sources stand
            is found out when there is a packet of them. Then what is older than the newest packet that
            it took counts as received: what was on its way just then is lost, and nothing comes twice.

    Attributes:
        encrypts: whether headers of what is sent are encrypted; received ones always may be.
        required: see there.
    """

    __slots__ = (
        "_failures",
        "_heard",
        "_heard_before",
        "_opening",
        "_protected",
        "_refusals",
        "_replays",
        "_sealing",
        "_send_failures",
        "_sent",
        "_srtp",
        "_ssrcs_forgotten",
        "_takes_over",
        "_to_find",
        "_unprotected",
        "encrypts",
        "required",
    )

    def __init__(
        self,
        keys: SrtpKeys,
        refusals: Refusals | None = None,
        *,
        required: bool = False,
        before: SrtpContext | None = None,
    ) -> None:
        self._refusals = refusals if refusals is not None else Refusals()
        self._srtp = before if before is not None else SrtpContext(keys, self._refusals)
        self._takes_over = before is not None
        self._to_find = before.heard() if before is not None else set()
        self._sealing = make_cipher(keys.profile, keys.local)
        self._opening = make_cipher(keys.profile, keys.remote)
        self._sent: dict[bytes, _Sent] = {}
        # Two generations, as `SrtpContext` has them.
        self._heard: dict[bytes, _Received] = {}
        self._heard_before: dict[bytes, _Received] = {}
        self.encrypts = True
        self.required = required
        self._protected = 0
        self._unprotected = 0
        self._failures = 0
        self._replays = 0
        self._send_failures = 0
        self._ssrcs_forgotten = 0

    @property
    def packets_protected(self) -> int:
        """RTP and RTCP together."""
        return self._protected + self._srtp.packets_protected

    @property
    def packets_unprotected(self) -> int:
        """RTP and RTCP together."""
        return self._unprotected + self._srtp.packets_unprotected

    @property
    def failures(self) -> int:
        """Packets that failed authentication, or had no form that could be taken."""
        return self._failures + self._srtp.failures

    @property
    def replays(self) -> int:
        """Packets that had been received before, or were too old to tell."""
        return self._replays + self._srtp.replays

    @property
    def send_failures(self) -> int:
        """Packets of ours that could not be protected."""
        return self._send_failures + self._srtp.send_failures

    @property
    def ssrcs_forgotten(self) -> int:
        """Sources given up for newer ones."""
        return self._ssrcs_forgotten + self._srtp.ssrcs_forgotten

    def encrypt_headers(self, wanted: bool) -> None:
        """Begin or end to encrypt headers of what is sent, as it was negotiated."""
        if wanted is self.encrypts:
            return
        self.encrypts = wanted
        for source in self._sent.values():
            source.floor, source.changed_at = source.changed_at, source.highest

    # -- sending ----------------------------------------------------------------------------------

    def protect(self, packets: Sequence[bytes]) -> list[bytes]:
        """Protect RTP and RTCP packets, told apart by their second byte (RFC 5761, section 4).

        Returns:
            The protected ones in the same order; one that cannot be is left out and counted.
        """
        sent, seal = self._sent, self._sealing.seal
        out: list[bytes] = []
        append = out.append
        handed = taken = 0
        for packet in packets:
            size = len(packet)
            if not _HEADER_BYTES <= size <= MAX_PACKET_BYTES or 192 <= packet[1] <= 223:
                others = self._srtp.protect((packet,))
                handed += 1
                taken += len(others)
                out += others
                continue
            ssrc = packet[8:12]
            number = packet[2] << 8 | packet[3]
            encrypts = self.encrypts
            source = sent.get(ssrc)
            if source is None:
                if len(sent) >= MAX_LOCAL_SSRCS:
                    continue
                source = sent[ssrc] = self._begin(ssrc, number)
            index = _index(source.highest, number)
            if index > source.highest:
                source.highest = index
            elif index <= source.floor or index <= source.highest - SEND_WINDOW:
                continue
            elif index <= source.changed_at:
                encrypts = not encrypts
            # by far the most have one-byte header extensions and name no contributing sources
            if encrypts and packet[0] & 0xDF == 0x90 and packet[12:14] == b"\xbe\xde" and size > 15:
                clear, secret, csrcs = packet[:12] + b"\xc0\xde" + packet[14:16], packet[16:], 0
            elif (parts := self._parts_to_send(packet, size, encrypts)) is not None:
                clear, secret, csrcs = parts
            else:
                continue
            append(seal(source.nonces, index, clear, secret, csrcs))
        self._protected += len(out) - taken
        self._send_failures += len(packets) - handed - (len(out) - taken)
        return out

    def _begin(self, ssrc: bytes, number: int) -> _Sent:
        """A source of ours that is new, here at least."""
        source = _Sent(self._sealing.source(ssrc), number)
        if self._takes_over:
            try:
                newest = newest_index(partial(self._srtp.probe, sent=True), self._sealing, ssrc, SEND_WINDOW)
            except NoIndexError:
                newest = source.floor = _INDICES  # nothing is sent: its nonces might have been used
            if newest is not None:
                source.highest = newest
                source.changed_at = newest if self.encrypts else -1
        return source

    def _parts_to_send(self, packet: bytes, size: int, encrypts: bool) -> tuple[bytes, bytes, int] | None:
        """What stays clear of a packet, what is to be sealed, and how much of that are sources' names.

        None for one that has no form, or must not have the one it has.
        """
        csrcs = (packet[0] & 15) * 4
        end = _HEADER_BYTES + csrcs
        if not packet[0] & 0x10:
            if end > size:
                return None
            if not (csrcs and encrypts):
                return packet[:end], packet[end:], 0
            # an empty extension says that they are encrypted
            first = bytes((packet[0] | 0x10,))
            return first + packet[1:12] + b"\xc0\xde\0\0", packet[12:], csrcs
        behind = end + 4 + int.from_bytes(packet[end + 2 : end + 4]) * 4
        if behind > size:
            return None
        if encrypts:
            kind = _ENCRYPTED.get(packet[end : end + 2])
            if kind is not None:
                secret = packet[12:end] + packet[end + 4 :]
                return packet[:12] + kind + packet[end + 2 : end + 4], secret, csrcs
            if self.required:
                return None
        return packet[:behind], packet[behind:], 0

    # -- receiving --------------------------------------------------------------------------------

    def unprotect(self, packets: Sequence[bytes]) -> list[bytes]:
        """Check and decrypt SRTP and SRTCP packets.

        Returns:
            The good ones in the same order, with their headers as if they had never been encrypted
            (where contributing sources came without header extensions, an empty one is left). All
            others are dropped and counted.
        """
        opening = self._opening
        overhead = 16 + opening.tag_bytes
        open_sealed = opening.open
        out: list[bytes] = []
        append = out.append
        taken = 0
        for packet in packets:
            size = len(packet)
            if not _HEADER_BYTES <= size <= MAX_PACKET_BYTES or 192 <= packet[1] <= 223:
                others = self._srtp.unprotect((packet,))
                taken += len(others)
                out += others
                continue
            ssrc = packet[8:12]
            number = packet[2] << 8 | packet[3]
            source = self._heard.get(ssrc)
            if source is None:
                source = self._heard_before.get(ssrc) or self._meet(ssrc, number)
            highest = source.highest
            index = _index(highest, number)
            ahead = index - highest
            if ahead <= 0 and (ahead <= -REPLAY_WINDOW or source.window >> -ahead & 1):
                self._replays += 1
                self._refusals.add("srtp", "replayed", packet)
                continue
            # by far the most have encrypted one-byte header extensions and no contributing sources
            if (
                size >= overhead
                and packet[0] & 0xDF == 0x90
                and packet[12:14] == b"\xc0\xde"
                and overhead + (packet[14] << 10 | packet[15] << 2) <= size
            ):
                header, clear = packet[:12] + b"\xbe\xde" + packet[14:16], packet[:16]
                secret, csrcs = packet[16:], 0
            elif isinstance(parts := self._parts_received(packet, size - opening.tag_bytes), tuple):
                header, clear, secret, csrcs = parts
            else:
                self._failures += 1
                self._refusals.add("srtp", parts, packet)
                continue
            opened = open_sealed(source.nonces, index, packet, clear, secret)
            if opened is None:
                self._failures += 1
                self._refusals.add("srtp", "not authentic", packet)
                continue
            if ahead > 0:
                source.highest = index
                source.window = (source.window << ahead | 1) & _SEEN if ahead < REPLAY_WINDOW else 1
            else:
                source.window |= 1 << -ahead
            if ssrc not in self._heard:
                self._hear(ssrc, source)
            append(header[:12] + opened[:csrcs] + header[12:] + opened[csrcs:] if csrcs else header + opened)
        self._unprotected += len(out) - taken
        return out

    def _parts_received(self, packet: bytes, size: int) -> tuple[bytes, bytes, bytes, int] | str:
        """How a packet will begin, what is clear of it, what is sealed, how much of that are sources' names.

        Args:
            packet: as it came.
            size: without the tag.

        Returns:
            That, or why there is no such thing.
        """
        csrcs = (packet[0] & 15) * 4
        end = _HEADER_BYTES + csrcs
        behind = end
        if packet[0] & 0x10:
            behind += 4 + int.from_bytes(packet[end + 2 : end + 4]) * 4
        if behind > size:
            return "cut short"
        if behind > end:
            kind = _CLEAR.get(packet[end : end + 2])
            if kind is not None:
                length = packet[end + 2 : end + 4]
                clear = packet[:12] + packet[end : end + 4]
                return packet[:12] + kind + length, clear, packet[12:end] + packet[end + 4 :], csrcs
        if self.required and behind > _HEADER_BYTES:
            return "a header in the clear"
        return packet[:behind], packet[:behind], packet[behind:], 0

    def _meet(self, ssrc: bytes, number: int) -> _Received:
        """A source of the peer's that is new, here at least. It is kept once a packet proved authentic."""
        source = _Received(self._opening.source(ssrc), number)
        if ssrc in self._to_find:
            self._to_find.discard(ssrc)  # before it has proved to be authentic: once is enough
            try:
                newest = newest_index(
                    partial(self._srtp.probe, sent=False), self._opening, ssrc, REPLAY_WINDOW
                )
            except NoIndexError:
                newest = None
            if newest is not None:
                source.highest, source.window = newest, _SEEN
                self._hear(ssrc, source)
        return source

    def _hear(self, ssrc: bytes, source: _Received) -> None:
        if len(self._heard) >= MAX_REMOTE_SSRCS // 2:
            self._ssrcs_forgotten += len(self._heard_before.keys() - self._heard.keys())
            self._heard_before, self._heard = self._heard, {}
        self._heard[ssrc] = source


def _index(highest: int, number: int) -> int:
    """The index of a packet, from its sequence number and the newest packet's index.

    Spec: RFC 3711, section 3.3.1.
    """
    ahead = (number - highest) & 0xFFFF
    if ahead > 0x8000:
        ahead -= 0x10000
    index = highest + ahead
    # before the very first lap there was none, behind the last there are no more nonces
    return index + 0x10000 if index < 0 else index if index < _INDICES else index - 0x10000
