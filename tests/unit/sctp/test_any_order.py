"""Chunks of any kind, in any order and bundle, between calls of the application: nothing raises."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtcstack.errors import DOMException
from rtcstack.sctp.association import AssociationState, SctpAssociation
from rtcstack.sctp.channel import Channel, ChannelState
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.chunks import DATA_HEADER, I_DATA_HEADER, ChunkType, ForwardTsn, Init, Sack, SkippedStream
from rtcstack.sctp.dcep import OpenMessage
from rtcstack.sctp.events import AssociationClosed, ChannelAnnounced, ChannelClosed
from rtcstack.sctp.options import SctpOptions
from rtcstack.sctp.packet import PacketWriter, chunk_bytes
from rtcstack.sctp.params import CauseCode, ParamType, cause_bytes, param_bytes

NAMES = ["x", "y" * 300]
PAYLOADS = {
    50: [OpenMessage(name).to_bytes() for name in NAMES]
    + [OpenMessage("u", "p", False, 3).to_bytes(), b"\x02", b"\x03", b"\x03\x55" + bytes(10), b"\x00"],
    51: [b"text", b"\xff\xfe", b"\xc3"],
    53: [b"binary", bytes(2000)],
    56: [b"\0"],
    57: [b"\0"],
    99: [b"?"],
}

streams = st.integers(0, 5) | st.sampled_from([100, 65534, 65535])
steps = st.integers(-3, 6)

data_chunks = st.tuples(
    st.just("data"),
    st.sampled_from([0, 0, 0, 0, 1, 2, -1, 4000]),
    streams,
    st.sampled_from([0, 0, 0, 1, 2, 65535]),
    st.sampled_from([3, 3, 3, 3, 7, 0, 1, 2, 11]),
    st.sampled_from([(ppid, payload) for ppid, payloads in PAYLOADS.items() for payload in payloads]),
)
control_chunks = st.one_of(
    st.tuples(
        st.just("abort"), st.sampled_from([b"", cause_bytes(CauseCode.USER_INITIATED_ABORT, b"bye"), b"?"])
    ),
    st.tuples(
        st.just("plain"),
        st.sampled_from(
            [
                ChunkType.SHUTDOWN_ACK,
                ChunkType.SHUTDOWN_COMPLETE,
                ChunkType.COOKIE_ACK,
                ChunkType.HEARTBEAT_ACK,
                ChunkType.PAD,
                0x3F,
                0xFF,
            ]
        ),
    ),
    st.tuples(st.just("shutdown"), st.booleans()),
    st.tuples(st.just("heartbeat"), st.sampled_from([0, 8, 1170, 5000])),
    st.tuples(st.just("cookie echo"), st.booleans()),
    st.tuples(st.just("init"), st.booleans()),
    st.tuples(st.just("init ack"), st.booleans()),
    st.tuples(
        st.just("error"),
        st.sampled_from([CauseCode.STALE_COOKIE, CauseCode.PROTOCOL_VIOLATION, CauseCode.UNRECOGNIZED_CHUNK]),
    ),
    st.tuples(st.just("sack"), steps, st.lists(st.integers(1, 8), max_size=4).map(sorted)),
    st.tuples(
        st.just("forward"), steps, st.lists(st.tuples(streams, st.integers(0, 3), st.booleans()), max_size=3)
    ),
    st.tuples(st.just("reset"), steps, st.sampled_from([-1, -1, 3]), st.lists(streams, max_size=3)),
    st.tuples(st.just("reset answer"), steps, st.integers(0, 7)),
)
likely_data = st.tuples(
    st.just("data"),
    st.just(0),
    st.sampled_from([0, 1]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([3, 7]),
    st.sampled_from([(50, PAYLOADS[50][0]), (51, b"text"), (51, b"\xff"), (53, b"binary")]),
)
kinds = st.sampled_from([*[likely_data] * 8, data_chunks, *[control_chunks] * 3])
packets = st.tuples(st.just("packet"), st.lists(kinds.flatmap(lambda kind: kind), min_size=1, max_size=5))
calls = st.one_of(
    st.tuples(st.just("open"), st.booleans(), st.sampled_from([None, 0, 3, 4])),
    st.tuples(st.just("send"), st.integers(0, 9), st.sampled_from(["", "text", b"binary" * 300, b""])),
    st.tuples(st.just("close"), st.integers(0, 9)),
    st.tuples(st.just("reset streams"), streams),
    st.tuples(st.just("connect")),
    st.tuples(st.just("role")),
    st.tuples(st.sampled_from(["honest", "honest", "honest", "shut down", "abort now"]), st.just(2)),
    st.tuples(st.just("honest"), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.05, 0.5, 4.0, 40.0])),
    st.tuples(st.just("drain")),
    st.tuples(st.just("listen")),
)
programs = st.lists(
    st.sampled_from([packets, packets, calls]).flatmap(lambda kind: kind), min_size=8, max_size=30
)


class Scene:
    """Channels under attack, an honest peer whose keys the attacker has, and the clock."""

    def __init__(self, *, interleaving: bool, begin: str) -> None:
        options = SctpOptions(interleaving=interleaving, receive_window_bytes=20_000, max_message_size=5000)
        self.interleaving = interleaving
        self.victim = DataChannels(SctpAssociation(options, rng=random.Random(1)), is_dtls_client=None)
        self.peer = DataChannels(SctpAssociation(options, rng=random.Random(2)), is_dtls_client=False)
        self.now = 1.0
        self.channels: list[Channel] = []
        self.told: list[Any] = []
        self.echoes: list[bytes] = []
        self.reset_number = 0
        if begin != "new":
            self.victim.set_role(True, self.now)
            self.victim.connect(self.now)
        if begin == "connected":
            self.honest(4)
            assert self.victim.association.state is AssociationState.CONNECTED

    def honest(self, rounds: int) -> None:
        """Let packets pass, and keep the cookies that go by."""
        self.peer.connect(self.now)
        for _ in range(rounds):
            for source, sink in ((self.peer, self.victim), (self.victim, self.peer)):
                drained = source.drain(self.now)
                if sink is self.victim:
                    self.echoes += [packet for packet in drained if packet[12] == ChunkType.COOKIE_ECHO]
                sink.receive(drained, self.now)
        self.peer.events()

    @property
    def tsn(self) -> int:
        block = self.victim.association._block
        return 0 if block is None else block.tracker.cumulative_tsn + 1

    def chunk(self, what: tuple[Any, ...]) -> bytes:
        """The chunk's bytes."""
        kind, *rest = what
        block = self.victim.association._block
        if kind == "data":
            offset, stream, sequence, flags, (ppid, payload) = rest
            tsn = (self.tsn + self.data_in_packet + offset) & 0xFFFF_FFFF
            self.data_in_packet += 1
            if self.interleaving:
                chunk = I_DATA_HEADER.pack(64, flags, 20 + len(payload), tsn, stream, 0, sequence, ppid)
            else:
                chunk = DATA_HEADER.pack(0, flags, 16 + len(payload), tsn, stream, sequence, ppid)
            return chunk + payload + bytes(-len(payload) % 4)
        if kind == "abort":
            return chunk_bytes(ChunkType.ABORT, 0, rest[0])
        if kind == "plain":
            return chunk_bytes(rest[0], 0, b"")
        if kind == "shutdown":
            return chunk_bytes(ChunkType.SHUTDOWN, 0, bytes(4) if rest[0] else b"")
        if kind == "heartbeat":
            return chunk_bytes(ChunkType.HEARTBEAT, 0, param_bytes(ParamType.HEARTBEAT_INFO, bytes(rest[0])))
        if kind == "cookie echo":
            if rest[0] and self.echoes:
                return self.echoes[-1][12:]
            return chunk_bytes(ChunkType.COOKIE_ECHO, 0, bytes(84))
        if kind == "init":
            return Init(77, 9999, 65535, 65535, 5, zero_checksum=rest[0]).to_bytes()
        if kind == "init ack":
            return Init(78, 9999, 2, 2, 5, cookie=b"cookie" if rest[0] else None).to_bytes(ChunkType.INIT_ACK)
        if kind == "error":
            return chunk_bytes(ChunkType.ERROR, 0, cause_bytes(rest[0], bytes(4)))
        if kind == "sack":
            base = 0 if block is None else block.outstanding.cumulative_tsn
            return Sack(
                (base + rest[0]) & 0xFFFF_FFFF, 5000, tuple(rest[1][: len(rest[1]) // 2 * 2])
            ).to_bytes()
        if kind == "forward":
            skipped = tuple(SkippedStream(*entry) for entry in rest[1])
            return ForwardTsn((self.tsn + rest[0]) & 0xFFFF_FFFF, skipped).to_bytes(
                interleaved=self.interleaving
            )
        if kind == "reset":
            number = (0 if block is None else block.resets._expected_number) + min(rest[0], 0)
            value = b"".join(
                [
                    (number & 0xFFFF_FFFF).to_bytes(4, "big"),
                    bytes(4),
                    ((self.tsn + rest[1]) & 0xFFFF_FFFF).to_bytes(4, "big"),
                    *(stream.to_bytes(2, "big") for stream in rest[2]),
                ]
            )
            return chunk_bytes(ChunkType.RE_CONFIG, 0, param_bytes(ParamType.OUTGOING_RESET, value))
        assert kind == "reset answer"
        number = (0 if block is None else block.resets._request_number) + min(rest[0], 0)
        value = (number & 0xFFFF_FFFF).to_bytes(4, "big") + rest[1].to_bytes(4, "big")
        return chunk_bytes(ChunkType.RE_CONFIG, 0, param_bytes(ParamType.RECONFIG_RESPONSE, value))

    def do(self, step: tuple[Any, ...]) -> None:
        """One step. What the application does wrong may raise in its own call, and nowhere else."""
        what, *rest = step
        victim = self.victim
        if what == "packet":
            self.data_in_packet = 0
            chunks = [self.chunk(chunk) for chunk in rest[0]]
            tag = 0 if rest[0][0][0] == "init" else victim.association._handshake.local_tag
            victim.receive([PacketWriter(5000, 5000, tag).write(chunks, checksum=True)], self.now)
        elif what == "open":
            negotiated, number = rest
            try:
                channel = victim.open(
                    "mine",
                    negotiated=negotiated or number is not None,
                    id=(number or 0) if negotiated or number is not None else None,
                    now=self.now,
                )
            except DOMException:
                return
            self.channels.append(channel)
        elif what == "send" and self.channels:
            try:
                victim.send(self.channels[rest[0] % len(self.channels)], rest[1], self.now)
            except DOMException:
                return
        elif what == "close" and self.channels:
            victim.close(self.channels[rest[0] % len(self.channels)], self.now)
        elif what == "reset streams":
            if victim.association.state is AssociationState.CONNECTED:
                victim.association.reset_streams([rest[0]])
        elif what == "connect":
            victim.connect(self.now)
        elif what == "role":
            victim.set_role(True, self.now)
        elif what == "shut down":
            victim.association.shutdown(self.now)
        elif what == "abort now":
            victim.association.abort(self.now, "enough")
        elif what == "honest":
            self.honest(rest[0])
        elif what == "wait":
            self.now += rest[0]
            due = victim.next_timeout()
            if due is not None and due <= self.now:
                victim.handle_timeout(self.now)
        elif what == "drain":
            for _ in range(100):
                if not victim.drain(self.now):
                    break
            else:
                raise AssertionError("it never stops sending")
        elif what == "listen":
            self.listen()

    def listen(self) -> None:
        for event in self.victim.events():
            self.told.append(event)
            if isinstance(event, ChannelAnnounced):
                self.channels.append(event.channel)

    def finish(self) -> None:
        """The end is told to everybody, once, and nothing is left."""
        self.victim.association.abort(self.now, "the end")
        self.victim.drain(self.now)
        self.listen()
        assert len([event for event in self.told if isinstance(event, AssociationClosed)]) == 1
        assert self.victim.channels == ()
        closed = [event.channel for event in self.told if isinstance(event, ChannelClosed)]
        assert len(closed) == len(set(closed)) == len(set(self.channels))
        assert all(channel.state is ChannelState.CLOSED for channel in self.channels)
        assert self.victim.next_timeout() is None
        assert self.victim.association.buffered_bytes == 0
        assert self.victim._early.held_bytes == 0


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    programs, st.sampled_from([False, True]), st.sampled_from(["connected", "connected", "connecting", "new"])
)
def test_no_order_of_chunks_and_calls_raises_or_loses_the_end(
    program: list[tuple[Any, ...]], interleaving: bool, begin: str
) -> None:
    scene = Scene(interleaving=interleaving, begin=begin)
    for step in program:
        scene.do(step)
    scene.finish()


TEXT = ("data", 0, 1, 0, 3, (51, b"\xff\xfe"))
OPEN = ("data", 0, 1, 0, 3, (50, OpenMessage("x").to_bytes()))


@pytest.mark.parametrize(
    "program",
    [
        [("packet", [OPEN]), ("packet", [("data", 0, 1, 1, 3, (51, b"\xff\xfe")), ("abort", b"")])],
        [("packet", [OPEN, ("data", 0, 1, 1, 3, (51, b"\xff")), ("shutdown", True), ("abort", b"")])],
        [("packet", [("data", 0, 2, 0, 3, (50, b"\x03")), ("abort", b"")])],
        [("open", False, None), ("packet", [("reset", 0, -1, [0]), ("abort", b"")])],
        [("packet", [OPEN, ("reset", 0, -1, []), ("plain", ChunkType.SHUTDOWN_ACK), ("abort", b"")])],
    ],
)
def test_what_one_packet_does_before_it_ends_the_association(program: list[tuple[Any, ...]]) -> None:
    scene = Scene(interleaving=False, begin="connected")
    for step in program:
        scene.do(step)
    scene.finish()


def test_a_channel_closed_before_an_association_that_ends_at_once() -> None:
    scene = Scene(interleaving=False, begin="connecting")
    scene.do(("open", False, None))
    scene.do(("close", 0))
    scene.peer.receive(scene.victim.drain(scene.now), scene.now)
    scene.victim.receive(scene.peer.drain(scene.now), scene.now)
    scene.victim.drain(scene.now)
    scene.do(("packet", [("plain", ChunkType.COOKIE_ACK), ("abort", b"")]))
    scene.finish()
