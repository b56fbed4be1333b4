"""Fuzz targets of SCTP: an association with open channels, on which data flows both ways."""

from __future__ import annotations

import random
from collections.abc import Callable

from rtcstack.sctp.association import AssociationState, SctpAssociation
from rtcstack.sctp.channel import ChannelState
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.events import AssociationClosed
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import chunk_bytes
from tests.fuzz.budget import Limit, spends
from tests.fuzz.closing import assert_silent
from tests.fuzz.script import Mutator, Script

__all__ = ["TARGETS"]

MAX_ROUNDS = 60
QUIET_ROUNDS = 4

WINDOW_BYTES = 65_536
MESSAGE_BYTES = 16_384

FLOW = Limit(4_000, 40)
"""Steps of a pass. A timer, or an acknowledgement, may set all free that waits to be sent, 48 KB."""

_SIZES = (0, 1, 100, 1100, 1200, 5000, 16_384)

_KINDS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 130, 132, 192, 194, 63, 255)
"""Types of chunks, and some that there are not."""


def _pair(*, interleaving: bool) -> tuple[DataChannels, DataChannels]:
    """Two ends whose association stands, with channels of three kinds open."""
    a, b = (
        DataChannels(
            SctpAssociation(
                SctpOptions(
                    interleaving=interleaving,
                    receive_window_bytes=WINDOW_BYTES,
                    max_message_size=MESSAGE_BYTES,
                    max_send_buffer_bytes=4 * MESSAGE_BYTES,
                ),
                rng=random.Random(seed),
            ),
            is_dtls_client=seed == 1,
        )
        for seed in (1, 2)
    )
    a.connect(0.0)
    b.connect(0.0)
    for engine in (a, b):
        engine.open("ordered", now=0.0)
        engine.open("unordered", ordered=False, max_retransmits=1, now=0.0)
        engine.open("short", max_packet_lifetime_ms=100, now=0.0)
    for _ in range(8):
        for source, sink in ((a, b), (b, a)):
            packets = source.drain(0.0)
            if packets:
                sink.receive(packets, 0.0)
            source.events()
            sink.events()
    assert all(channel.state is ChannelState.OPEN for end in (a, b) for channel in end.channels)
    assert len(a.channels) == len(b.channels) == 6
    return a, b


def _use(script: Script, end: DataChannels, now: float) -> None:
    """What the application of one end does."""
    action = script.byte()
    channels = end.channels
    if not channels:
        return
    channel = channels[action % len(channels)]
    match action >> 4:
        case 0 | 1 | 2 | 3 | 4 | 5 if channel.state is ChannelState.OPEN:
            size = _SIZES[script.byte() % len(_SIZES)]
            if end.association.buffered_bytes + size < 3 * MESSAGE_BYTES:
                end.send(channel, bytes(size) if action & 8 else "x" * size, now)
        case 6:
            end.close(channel, now)
        case 7 if len(channels) < 20 and end.association.state is AssociationState.CONNECTED:
            end.open("more", priority=256, now=now)
        case _:
            pass


def _flowing(data: bytes, *, interleaving: bool) -> None:
    script = Script(data)
    victim, peer = _pair(interleaving=interleaving)
    mutator = Mutator(script)
    now, quiet, closings = 1.0, 0, 0
    for _ in range(MAX_ROUNDS):
        quiet = quiet + 1 if script.is_over else 0
        if quiet > QUIET_ROUNDS:
            break
        _use(script, victim, now)
        _use(script, peer, now)
        packets = mutator.pass_on(peer.drain(now))
        action = script.byte()
        if action & 1 and mutator.seen:  # chunks of its own making
            kind, flags = _KINDS[action >> 1 & 15], script.byte()
            if action & 32:
                kind = _KINDS[-1 - (action >> 6)]
            packets.append(mutator.seen[-1][:8] + bytes(4) + chunk_bytes(kind, flags, script.piece()))
        given = sum(map(len, packets))
        with spends(given, FLOW):
            if packets:
                victim.receive(packets, now)
            if victim.association.state is not AssociationState.CLOSED and action & 2:
                now += (0.02, 0.5, 3.0, 31.0)[action >> 2 & 3]
            due = victim.next_timeout()
            if due is not None and due <= now:
                victim.handle_timeout(now)
            sent = victim.drain(now)
            events = victim.events()
        closings += sum(isinstance(event, AssociationClosed) for event in events)
        assert closings <= 1
        assert closings == (victim.association.state is AssociationState.CLOSED)
        if sent:
            peer.receive(sent, now)
        peer.events()
        peer.handle_timeout(now)
        _assert_bounds(victim)
    _assert_over(victim, mutator, now, closings)


def _assert_bounds(engine: DataChannels) -> None:
    block = engine.association._block
    if block is not None:
        assert block.reassembly.held_bytes <= WINDOW_BYTES + 2 * MESSAGE_BYTES
    assert engine.association.buffered_bytes <= 4 * MESSAGE_BYTES
    assert len(engine.association._replies) <= 32


def _assert_over(engine: DataChannels, mutator: Mutator, now: float, closings: int) -> None:
    """After its end an association says so once, holds nothing, and hears nothing."""
    engine.association.abort(now, "over")
    engine.drain(now)
    closings += sum(isinstance(event, AssociationClosed) for event in engine.events())
    assert closings == 1
    assert all(channel.state is ChannelState.CLOSED for channel in engine.channels)
    assert engine.next_timeout() is None
    assert engine.association._block is None
    assert_silent(engine, list(mutator.seen), now, answers=True)
    assert engine.association.state is AssociationState.CLOSED


def sctp_flowing(data: bytes) -> None:
    """Channels open and data under way; what the peer sends is damaged, spliced, late, and its own."""
    _flowing(data, interleaving=False)


def sctp_interleaving(data: bytes) -> None:
    """The same with I-DATA."""
    _flowing(data, interleaving=True)


TARGETS: tuple[Callable[[bytes], None], ...] = (sctp_flowing, sctp_interleaving)
