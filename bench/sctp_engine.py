"""Cost of the SCTP engine alone: two engines back to back, no link, no socket, real time per packet.

    python bench/sctp_engine.py

Prints, for bulk (16 KiB messages) and for small messages (100 bytes), the time each side spends
per packet and per message: sender (send, drain, SACKs) and receiver (receive, drain, events).
"""

from __future__ import annotations

from dataclasses import dataclass
from time import thread_time

from rtcstack.sctp.association import SctpAssociation
from rtcstack.sctp.channel import Channel
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.events import MessageReceived
from rtcstack.sctp.options import SctpOptions

BATCH = 64


@dataclass
class Costs:
    """Seconds by phase, and counts."""

    send: float = 0.0
    drain: float = 0.0
    sack: float = 0.0
    receive: float = 0.0
    answer: float = 0.0
    events: float = 0.0
    packets: int = 0
    messages: int = 0
    payload_bytes: int = 0

    def report(self, name: str) -> str:
        """One paragraph of figures."""
        sender = self.send + self.drain + self.sack
        receiver = self.receive + self.answer + self.events
        per_packet = 1e6 / self.packets
        per_message = 1e6 / self.messages
        return (
            f"{name}: {self.messages} messages in {self.packets} packets\n"
            f"  sender   {sender * per_packet:6.2f} us/packet {sender * per_message:7.2f} us/message"
            f"   (send {self.send * per_packet:.2f}, drain {self.drain * per_packet:.2f},"
            f" SACK {self.sack * per_packet:.2f})\n"
            f"  receiver {receiver * per_packet:6.2f} us/packet {receiver * per_message:7.2f} us/message"
            f"   (receive {self.receive * per_packet:.2f}, answer {self.answer * per_packet:.2f},"
            f" events {self.events * per_packet:.2f})\n"
            f"  both     {self.payload_bytes / (sender + receiver) / 1e6:6.1f} MB/s on one core"
        )


def pair(zero_checksum: bool) -> tuple[DataChannels, DataChannels, Channel]:
    """Two connected engines and a channel."""
    options = SctpOptions(zero_checksum=zero_checksum)
    a = DataChannels(SctpAssociation(options), is_dtls_client=True)
    b = DataChannels(SctpAssociation(options), is_dtls_client=False)
    a.connect(0.0)
    b.connect(0.0)
    channel = a.open("bench", now=0.0)
    for step in range(20):
        now = step * 0.0001
        b.receive(a.drain(now), now)
        a.receive(b.drain(now), now)
    a.events()
    b.events()
    return a, b, channel


def run(message: bytes, total: int, zero_checksum: bool) -> Costs:
    """Send `total` messages through and measure."""
    a, b, channel = pair(zero_checksum)
    costs = Costs()
    sent = received = 0
    now = 1.0
    clock = thread_time  # CPU time: the machine may be shared
    while received < total:
        now += 0.0005
        t0 = clock()
        while sent < total and a.buffered_amount(channel) < 262144:
            a.send(channel, message, now)
            sent += 1
        t1 = clock()
        packets = a.drain(now)
        t2 = clock()
        b.receive(packets, now)
        t3 = clock()
        answers = b.drain(now)
        t4 = clock()
        received += sum(1 for event in b.events() if isinstance(event, MessageReceived))
        t5 = clock()
        if answers:
            a.receive(answers, now)
        elif not packets:
            now += 0.05
            a.handle_timeout(now)
            b.handle_timeout(now)
        t6 = clock()
        costs.send += t1 - t0
        costs.drain += t2 - t1
        costs.receive += t3 - t2
        costs.answer += t4 - t3
        costs.events += t5 - t4
        costs.sack += t6 - t5
        costs.packets += len(packets)
        a.events()
    costs.messages = total
    costs.payload_bytes = total * len(message)
    return costs


def main() -> None:
    """Run all shapes, best of five each."""
    shapes = [
        ("bulk 16 KiB, CRC32c", bytes(16384), 6000, False),
        ("bulk 16 KiB, zero checksum", bytes(16384), 6000, True),
        ("small 100 B, CRC32c", bytes(100), 60000, False),
    ]
    for name, message, total, zero in shapes:
        costs = min((run(message, total, zero) for _ in range(5)), key=lambda c: c.drain + c.receive)
        print(costs.report(name))


if __name__ == "__main__":
    main()
