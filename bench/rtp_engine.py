"""Cost of the RTP path without codecs: engine and SRTP, sender and receiver, real time per packet.

    python bench/rtp_engine.py

Two sessions back to back, no socket: frames of ten 1,200-byte packets go from one to the other,
feedback comes back. Prints what each step costs per packet, in CPU time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from time import thread_time

from rtcstack.dtls.cryptex import CryptexContext
from rtcstack.dtls.srtp import SrtpContext
from rtcstack.dtls.srtp_keys import SRTP_PROFILES, split_keys
from rtcstack.rtp.events import FrameReceived, PacketsReceived
from rtcstack.rtp.extensions import Extension
from rtcstack.rtp.frames import PayloadInfo
from rtcstack.rtp.parameters import Delivery, ReceiveCodec, ReceiveSection, SendParameters
from rtcstack.rtp.session import RtpSession

PACKETS_PER_FRAME = 10
PAYLOAD = bytes(1160)
KEY_PAYLOAD = b"\x01" + bytes(1159)
IDS: dict[str, int] = {Extension.MID: 4, Extension.ABS_SEND_TIME: 2, Extension.TRANSPORT_CC: 3}


class Plain:
    """A payload format of one byte: 1 in the first packet of a key frame, 2 of another."""

    def depacketize(self, payload: bytes) -> PayloadInfo:
        """The byte tells; the rest is data."""
        first = payload[0]
        return PayloadInfo(payload, first != 0, False, first == 1)

    def assemble(self, payloads: Sequence[PayloadInfo]) -> bytes:
        """All data."""
        return b"".join([part.data for part in payloads])


@dataclass
class Costs:
    """Seconds by step."""

    send: float = 0.0
    drain: float = 0.0
    protect: float = 0.0
    unprotect: float = 0.0
    receive: float = 0.0
    events: float = 0.0
    feedback: float = 0.0
    packets: int = 0
    frames: int = 0

    @property
    def total(self) -> float:
        """All steps."""
        return (
            self.send
            + self.drain
            + self.protect
            + self.unprotect
            + self.receive
            + self.events
            + self.feedback
        )

    def report(self, name: str) -> str:
        """One line of microseconds per packet."""
        scale = 1e6 / self.packets
        steps = ("send", "drain", "protect", "unprotect", "receive", "events", "feedback")
        parts = ", ".join(f"{step} {getattr(self, step) * scale:.2f}" for step in steps)
        return f"{name}: {self.total * scale:.2f} us/packet ({parts}); {self.packets} packets"


def run(
    total: int, *, congestion_control: bool, raw: bool, profile_name: str, cryptex: bool = False
) -> Costs:
    """Send `total` frames and measure."""
    profile = SRTP_PROFILES[profile_name]
    material = os.urandom(profile.material_bytes)
    make = CryptexContext if cryptex else SrtpContext
    srtp_a = make(split_keys(profile, material, is_client=True))
    srtp_b = make(split_keys(profile, material, is_client=False))
    a, b = RtpSession(rng=random.Random(1)), RtpSession(rng=random.Random(2))
    ids: dict[str, int] = IDS if congestion_control else {Extension.MID: 4}
    stream = a.add_send_stream(
        SendParameters(
            mid="0",
            kind="video",
            ssrc=1,
            payload_type=96,
            clock_rate=90000,
            cname="bench",
            rtx_ssrc=2,
            rtx_payload_type=97,
            extensions=ids,
            nack=True,
            transport_cc=congestion_control,
            reduced_size=True,
            max_bitrate_bps=100_000_000,
        )
    )
    b.set_receive_section(
        ReceiveSection(
            mid="0",
            kind="video",
            codecs=(
                ReceiveCodec(96, 90000, Plain(), nack=True, pli=True),
                ReceiveCodec(97, 90000, apt=96),
            ),
            extensions=ids,
            delivery=Delivery.PACKETS if raw else Delivery.FRAMES,
            transport_cc=congestion_control,
            reduced_size=True,
        )
    )
    costs = Costs()
    now = 1000.0
    a.start(now)
    b.start(now)
    payloads = [b"\x02" + PAYLOAD[1:]] + [PAYLOAD] * (PACKETS_PER_FRAME - 1)
    key = [KEY_PAYLOAD] + [PAYLOAD] * (PACKETS_PER_FRAME - 1)
    clock = thread_time
    for number in range(total):
        now += 0.004
        t0 = clock()
        stream.send(key if number % 300 == 0 else payloads, number * 360, now, key_frame=number % 300 == 0)
        t1 = clock()
        packets = a.drain(now)
        t2 = clock()
        protected = srtp_a.protect(packets)
        t3 = clock()
        clear = srtp_b.unprotect(protected)
        t4 = clock()
        b.receive(clear, now)
        t5 = clock()
        for event in b.events():
            if isinstance(event, FrameReceived):
                costs.frames += 1
            elif isinstance(event, PacketsReceived):
                costs.frames += len(event.packets) // PACKETS_PER_FRAME
        t6 = clock()
        for session in (a, b):
            due = session.next_timeout()
            if due is not None and due <= now:
                session.handle_timeout(now)
        back = b.drain(now)
        if back:
            a.receive(srtp_a.unprotect(srtp_b.protect(back)), now)
        a.events()
        t7 = clock()
        costs.send += t1 - t0
        costs.drain += t2 - t1
        costs.protect += t3 - t2
        costs.unprotect += t4 - t3
        costs.receive += t5 - t4
        costs.events += t6 - t5
        costs.feedback += t7 - t6
        costs.packets += len(packets)
    return costs


def main() -> None:
    """All shapes, best of three each."""
    gcm, cm = "SRTP_AEAD_AES_128_GCM", "SRTP_AES128_CM_SHA1_80"
    shapes = [
        ("raw packets, AES-GCM", False, True, gcm, False),
        ("frames, AES-GCM", False, False, gcm, False),
        ("frames, congestion control, AES-GCM", True, False, gcm, False),
        ("the same, headers encrypted", True, False, gcm, True),
        ("frames, congestion control, AES-CM", True, False, cm, False),
        ("the same, headers encrypted", True, False, cm, True),
    ]
    for name, controlled, raw, profile, cryptex in shapes:
        costs = min(
            (
                run(1500, congestion_control=controlled, raw=raw, profile_name=profile, cryptex=cryptex)
                for _ in range(3)
            ),
            key=lambda c: c.total / c.packets,
        )
        print(costs.report(name), f"({costs.frames} frames)")


if __name__ == "__main__":
    main()
