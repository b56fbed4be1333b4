"""Fuzz target of multicast DNS: anybody on the link, and often beyond, may send to its port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import aioice.mdns
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from rtcstack.network.multicast import _Protocol
from rtcstack.testing import run
from tests.fuzz.budget import Limit, spends
from tests.fuzz.script import Mutator, Script

__all__ = ["TARGETS"]

MESSAGE = Limit(20_000, 250)
"""Steps that a message may take. dnspython takes some 150 for a record, and up to 2,000 for one whose name
points to another, as if its 127 labels stood there: at most, that is 16 questions and 32 records."""

PUBLISHED, ASKED = "0a0a0a0a-0000.local", "0b0b0b0b-0000.local"


class _Transport:
    """Counts what is sent; there is no network."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendto(self, data: bytes, address: Any) -> None:
        self.sent.append(data)

    def get_extra_info(self, name: str) -> Any:
        return self

    def setsockopt(self, *_: Any) -> None:
        """It has joined every group."""

    def is_closing(self) -> bool:
        return False


def _question(name: str, count: int = 1) -> bytes:
    message = dns.message.make_query(name, "A")
    message.id = message.flags = 0
    message.question *= count
    return message.to_wire()


def _good_answer(name: str, kind: str, address: bytes) -> bytes:
    message = dns.message.QueryMessage(id=0)
    message.flags = 0x8400  # type: ignore[assignment]
    rdtype = dns.rdatatype.from_text(kind)
    rdata = dns.rdata.GenericRdata(aioice.mdns.MDNS_RDCLASS, rdtype, address)
    rrset = dns.rrset.RRset(dns.name.from_text(name), aioice.mdns.MDNS_RDCLASS, rdtype)
    rrset.add(rdata, 120)
    message.answer.append(rrset)
    return message.to_wire()


_GOOD = (
    _question(ASKED),
    _question(PUBLISHED),
    _good_answer(ASKED, "A", bytes((192, 0, 2, 1))),
    _good_answer(ASKED, "AAAA", bytes(16)),
    _good_answer("someone.local", "A", bytes(3)),
)


def _flood(script: Script) -> bytes:
    """Records, as many as it says, each with a name that points into the first one's or is one label."""
    labels = script.byte() % 106
    ours = (PUBLISHED, ASKED)[script.byte() & 1].encode()[:-6]
    first = (bytes((len(ours),)) + ours if labels & 1 else b"") + b"\1a" * labels + b"\0"
    count = script.number() % (800 if labels & 2 else 32)
    own = b"\xc0\x0c" if script.byte() & 1 else bytes((1, script.byte())) + b"\xc0\x0c"
    tail = bytes((0, (1, 28, 255)[script.byte() % 3], 0, 1))
    is_answer = script.byte() & 1
    counts = (count + 1).to_bytes(2, "big")
    head = bytes(4) + (bytes(2) + counts if is_answer else counts + bytes(2)) + bytes(4)
    if is_answer:
        tail = (
            tail[:2] + b"\x80\1" + bytes(4) + (b"\0\4" + bytes(4) if tail[1] == 1 else b"\0\x10" + bytes(16))
        )
    return head + first + tail + (own + tail) * count


async def _run(data: bytes) -> None:
    script = Script(data)
    protocol = _Protocol()
    transport = _Transport()
    protocol.connection_made(cast(asyncio.BaseTransport, transport))
    await protocol.publish(PUBLISHED, "192.0.2.7")
    mutator = Mutator(script)
    asking = asyncio.create_task(protocol.resolve(ASKED, timeout=1.0))
    await asyncio.sleep(0)
    for _ in range(40):
        if script.is_over:
            break
        action = script.byte()
        message = _flood(script) if action & 7 == 7 else _GOOD[action % len(_GOOD)]
        for datagram in mutator.pass_on([message]):
            before = len(transport.sent)
            with spends(len(datagram), MESSAGE):
                protocol.datagram_received(datagram, ("192.0.2.9", 5353))
            assert len(transport.sent) - before <= 1, "one name is published"
        if action & 128:
            await asyncio.sleep(0)
    await asyncio.sleep(2)
    result = asking.result()
    assert result is None or isinstance(result, str)
    assert not protocol.queries
    protocol.connection_lost(None)
    assert len(protocol.zone.nodes) == 1


def mdns(data: bytes) -> None:
    """Questions and answers, damaged, and many records in one: no exception, few steps, few answers."""
    run(_run(data))


TARGETS: tuple[Callable[[bytes], None], ...] = (mdns,)
