"""The TURN client alone: credentials, refreshes, permissions, channels, and servers that lie."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtcstack.engine import Run
from rtcstack.errors import ParseError
from rtcstack.ice.stun import (
    Address,
    Attribute,
    Class,
    Method,
    StunMessage,
    encode,
    encode_address,
    error_attribute,
)
from rtcstack.ice.turn import TurnAllocated, TurnClient, TurnEvent, TurnFailed, TurnPeerDenied, TurnRedirected
from rtcstack.ice.turn.client import MAX_CHANNELS, MAX_PERMISSIONS
from rtcstack.ice.turn.framing import MAX_HELD_BYTES, TurnFraming
from rtcstack.ice.turn.peers import MAX_WAITING, Grant
from rtcstack.testing import START_S, Internet, TurnServer
from tests.support.copies import copied_bytes

ME: Address = ("192.0.2.1", 4000)
PEER: Address = ("192.0.2.50", 5000)


class Client:
    """A client on the model internet."""

    def __init__(
        self, net: Internet, server: TurnServer, *, password: str = TurnServer.PASSWORD, **options: Any
    ) -> None:
        self.net, self.server = net, server
        self.engine = TurnClient(server.USERNAME, password, entropy=random.Random(1).randbytes, **options)
        self.events: list[TurnEvent] = []
        self.received: list[tuple[Address, bytes]] = []
        self._armed_at: float | None = None
        net.attach(ME[0], self._receive)
        self.engine.start(net.now)
        self.flush()

    def _receive(self, _destination: Address, _source: Address, data: bytes) -> None:
        self.engine.receive([data], self.net.now)
        self.flush()

    def flush(self) -> None:
        now = self.net.now
        for data in self.engine.drain(now):
            self.net.send(ME, (self.server.host, 3478), data)
        self.events += self.engine.events()
        self.received += [(peer, data) for peer, data, _ in self.engine.received()]
        due = self.engine.next_timeout()
        if due is not None and due != self._armed_at:
            self._armed_at = max(due, now)
            self.net.agenda.at(self._armed_at, self._on_timer, self._armed_at)

    def _on_timer(self, armed_at: float) -> None:
        if armed_at == self._armed_at:
            self._armed_at = None
            self.engine.handle_timeout(self.net.now)
            self.flush()

    def send(self, data: bytes, peer: Address = PEER) -> None:
        self.engine.send(data, peer, self.net.now)
        self.flush()

    def send_runs(self, runs: list[Run]) -> list[Run]:
        wrapped = self.engine.send_runs(runs, PEER, self.net.now)
        for run in wrapped:
            for data in run.datagrams():
                self.net.send(ME, (self.server.host, 3478), data)
        self.flush()
        return wrapped


class Peer:
    def __init__(self, net: Internet, address: Address = PEER) -> None:
        self.net, self.address = net, address
        self.received: list[tuple[Address, bytes]] = []
        net.attach(address[0], lambda _d, source, data: self.received.append((source, data)))


def run(net: Internet, seconds: float) -> None:
    net.agenda.run(until=net.now - START_S + seconds)


def allocated(lifetime_s: int = 600) -> tuple[Internet, TurnServer, Client, Peer]:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    server.lifetime_s = lifetime_s
    client = Client(net, server)
    peer = Peer(net)
    run(net, 1)
    return net, server, client, peer


def test_allocation_with_a_challenge() -> None:
    _, server, client, _ = allocated()
    assert client.events == [TurnAllocated(("198.51.100.1", 50001), ME, 600)]
    assert client.engine.relayed == ("198.51.100.1", 50001)
    assert server.requests == {Method.ALLOCATE: 2}


def test_packets_by_indication_then_by_channel() -> None:
    net, server, client, peer = allocated()
    client.send(b"first")
    run(net, 1)
    relayed = client.engine.relayed
    assert relayed is not None
    assert peer.received == [(relayed, b"first")]
    net.send(PEER, relayed, b"back")
    run(net, 1)
    assert client.received == [(PEER, b"back")]
    assert len(client.send_runs([Run(b"abcd", 2)])) == 3, "two indications and the request for a channel"
    run(net, 1)
    wrapped = client.send_runs([Run(b"aaaabbbbcc", 4), Run(b"d", 1)])
    assert wrapped == [
        Run(b"\x40\0\0\4aaaa\x40\0\0\4bbbb\x40\0\0\2cc", 8),
        Run(b"\x40\0\0\1d", 5),
    ]
    run(net, 1)
    assert [d for _, d in peer.received] == [b"first", b"ab", b"cd", b"aaaa", b"bbbb", b"cc", b"d"]
    net.send(PEER, relayed, b"by channel")
    run(net, 1)
    assert client.received[-1] == (PEER, b"by channel")
    assert server.requests[Method.CHANNEL_BIND] == 1


def test_it_is_kept_up_for_hours_with_changing_nonces() -> None:
    net, server, client, peer = allocated()
    server.stale_after = 3
    client.send_runs([Run(b"x", 1)])
    for i in range(300):
        client.send_runs([Run(b"%d" % i, len(b"%d" % i))])
        run(net, 50)
    assert [d for _, d in peer.received] == [b"x", *(b"%d" % i for i in range(300))]
    assert len(client.events) == 1
    asked = server.requests
    assert 25 <= asked[Method.REFRESH] <= 70
    assert 60 <= asked[Method.CREATE_PERMISSION] <= 140


FOUR, SIX = "198.51.100.1", "2001:db8::1"


@pytest.mark.parametrize(
    ("hosts", "gives_both", "relays", "lacking"),
    [
        ((FOUR, SIX), True, (FOUR, SIX), None),
        ((FOUR, SIX), False, (FOUR,), None),
        ((FOUR, None), True, (FOUR,), (440, "no such IP version")),
        ((FOUR, None), False, (FOUR,), None),
        ((SIX, FOUR), True, (FOUR, SIX), None),
        ((SIX, FOUR), False, (FOUR,), None),
        ((SIX, None), True, (SIX,), (440, "no such IP version")),
        ((SIX, None), False, (SIX,), None),
    ],
)
def test_addresses_of_both_versions(
    hosts: tuple[str, str | None], gives_both: bool, relays: tuple[str, ...], lacking: tuple[int, str] | None
) -> None:
    net = Internet()
    server = TurnServer(net, hosts[0], also=hosts[1])
    server.gives_both = gives_both
    client = Client(net, server, both=True, ip_version=6 if hosts[0] == SIX else 4)
    run(net, 5)
    assert tuple(host for host, _ in client.engine.relays) == relays
    assert [event.relayed[0] for event in client.events if isinstance(event, TurnAllocated)] == list(relays)
    assert client.engine.lacking == lacking
    assert client.engine.relayed == client.engine.relays[0]
    assert server.allocations == 1


@pytest.mark.parametrize("code", [400, 420])
def test_a_server_that_takes_the_wish_for_two_addresses_ill(code: int) -> None:
    net = Internet()
    server = TurnServer(net, FOUR)
    server.refuse = code
    client = Client(net, server, both=True)
    net.agenda.run(until=5, condition=lambda: server.requests.get(Method.ALLOCATE, 0) == 2)
    server.refuse = None
    run(net, 5)
    assert [type(event) for event in client.events] == [TurnAllocated]


def test_peers_of_both_versions_are_reached_by_one_allocation() -> None:
    net = Internet()
    server = TurnServer(net, FOUR, also=SIX)
    client = Client(net, server, both=True)
    run(net, 1)
    peers = [Peer(net), Peer(net, ("2001:db8::50", 5000))]
    for _ in range(2):  # by indication, then by channel
        for peer, (relay, version) in zip(peers, ((FOUR, 4), (SIX, 6)), strict=True):
            client.engine.send_runs([], peer.address, net.now)
            client.send(b"%d" % version, peer.address)
            run(net, 1)
            source, data = peer.received[-1]
            assert (source[0], data) == (relay, b"%d" % version)
            net.send(peer.address, source, b"back %d" % version)
            run(net, 1)
            assert client.received[-1] == (peer.address, b"back %d" % version)


def test_several_relayed_addresses_of_one_version_count_once() -> None:
    for both in (False, True):
        client = TurnClient("u", "p", entropy=random.Random(1).randbytes, both=both)
        client.start(0.0)
        identifier = StunMessage(client.drain(0.0)[0]).transaction_id
        given = [("192.0.2.1", 0), ("192.0.2.2", 5), ("192.0.2.3", 5), ("2001:db8::1", 5), ("2001:db8::2", 5)]
        values = [(Attribute.XOR_RELAYED_ADDRESS, encode_address(each, identifier)) for each in given]
        client.receive([encode(Method.ALLOCATE, Class.SUCCESS, identifier, values)], 0.1)
        assert client.relays == (given[1], given[3])[: 1 + both]


def test_losses() -> None:
    net = Internet(loss=0.3, seed=4)
    server = TurnServer(net, "198.51.100.1")
    client = Client(net, server)
    run(net, 20)
    assert [type(e) for e in client.events] == [TurnAllocated]


def test_wrong_credentials() -> None:
    net = Internet()
    client = Client(net, TurnServer(net, "198.51.100.1"), password="wrong")
    run(net, 5)
    assert client.events == [TurnFailed(401, "again")]
    assert client.engine.next_timeout() is None


@pytest.mark.parametrize("code", [403, 441, 442, 486, 508])
def test_refusals_are_reported(code: int) -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    server.refuse = code
    client = Client(net, server)
    run(net, 5)
    assert client.events == [TurnFailed(code, "no")]


def test_silence_is_reported() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    server.silent = True
    client = Client(net, server)
    run(net, 60)
    assert client.events == [TurnFailed(701, "the server did not answer")]


def test_a_server_that_dies_later_is_noticed() -> None:
    net, server, client, _ = allocated()
    server.silent = True
    run(net, 700)
    assert client.events[1:] == [TurnFailed(701, "the server did not answer")]
    client.send(b"x")
    assert client.engine.dropped == 1


@pytest.mark.parametrize(("silent_s", "survives"), [(15, True), (50, True), (90, False)])
def test_an_interruption_while_the_allocation_is_refreshed(silent_s: int, survives: bool) -> None:
    """It is asked for as long as the server may know of it."""
    net, server, client, _ = allocated()
    run(net, 530)
    server.silent = True
    run(net, silent_s)
    server.silent = False
    run(net, 1200)
    assert (client.engine.failed is None) is survives


def test_a_server_that_is_asked_whether_it_knows_us() -> None:
    net, server, client, _ = allocated()
    for asked in range(3):
        for _ in range(5):  # once at a time
            client.engine.probe(net.now)
            client.flush()
        run(net, 1)
        assert server.requests[Method.REFRESH] == asked + 1
    server.lose_allocations()
    client.engine.probe(net.now)
    client.flush()
    run(net, 1)
    assert client.events[1:] == [TurnFailed(437, "no allocation")]
    client.engine.probe(net.now)
    assert client.engine.drain(net.now) == []


def test_a_server_that_does_not_answer_a_question_in_between_loses_nothing() -> None:
    net, server, client, _ = allocated()
    server.silent = True
    client.engine.probe(net.now)
    client.flush()
    run(net, 60)
    assert server.requests == {Method.ALLOCATE: 2}
    server.silent = False
    client.engine.probe(net.now)
    client.flush()
    run(net, 1)
    assert server.requests[Method.REFRESH] == 1
    assert client.engine.failed is None


def test_a_redirection() -> None:
    net = Internet()
    server = TurnServer(net, "198.51.100.1")
    server.alternate = ("198.51.100.2", 3478)
    client = Client(net, server)
    run(net, 5)
    assert client.events == [TurnRedirected(("198.51.100.2", 3478))]


def test_a_denied_peer() -> None:
    net, server, client, peer = allocated()
    server.denied.add(PEER[0])
    client.send(b"x")
    run(net, 1)
    client.send(b"y")
    assert client.events[1:] == [TurnPeerDenied(PEER[0], 403)]
    assert client.engine.dropped == 1
    assert peer.received == []


def test_what_waits_is_bounded() -> None:
    net, _server, client, peer = allocated()
    for i in range(MAX_WAITING + 5):
        client.send(b"%d" % i)
    assert client.engine.dropped == 5
    run(net, 1)
    assert [d for _, d in peer.received] == [b"%d" % i for i in range(MAX_WAITING)]
    for i in range(MAX_PERMISSIONS + 10):
        client.engine.send(b"x", (f"10.0.{i >> 8}.{i & 255}", 9), net.now)
    assert client.engine.dropped == 5 + 11
    for i in range(MAX_CHANNELS + 10):
        client.engine.prepare((PEER[0], 6000 + i), net.now)
    assert len(client.engine._peers) == MAX_CHANNELS


def test_idle_peers_are_let_go() -> None:
    net, _, client, _ = allocated()
    client.send_runs([Run(b"x", 1)])
    run(net, 3600)
    assert client.engine._permissions == {}
    assert client.engine._channels == {}


def keep_open(net: Internet, client: Client, seconds: float) -> None:
    """Let time pass in which another peer is spoken to."""
    for _ in range(int(seconds // 50)):
        client.send(b"still here", ("192.0.2.51", 1))
        run(net, 50)


@pytest.mark.parametrize("pause_s", [100, 580, 650, 850, 900, 960, 1500, 4000])
def test_a_channel_that_has_expired_comes_back(pause_s: int) -> None:
    """Under the same number while the server may remember it: it refuses another one."""
    net, server, client, peer = allocated()
    refused: list[bytes] = []
    answer = server._answer

    def look(to: object, request: StunMessage, kind: int, *attributes: tuple[int, bytes]) -> None:
        if kind == Class.ERROR:
            refused.append(request.data)
        answer(to, request, kind, *attributes)  # type: ignore[arg-type]

    server._answer = look  # type: ignore[method-assign]
    for port in (PEER[1], 6000):
        client.engine.prepare((PEER[0], port), net.now)
    client.flush()
    run(net, 1)
    keep_open(net, client, pause_s)
    for number in range(3):
        client.send_runs([Run(b"again %d" % number, 7)])
        client.engine.prepare((PEER[0], 7000 + number), net.now)
        run(net, 1)
    assert [data for _, data in peer.received[-3:]] == [b"again 0", b"again 1", b"again 2"]
    assert client.send_runs([Run(b"x", 1)])[0].data[0] >> 6 == 1, "by a channel"
    assert refused == []
    assert (
        len(set(client.engine._peers.values())) == len(client.engine._peers) == len(client.engine._channels)
    )


def test_a_channel_s_number_is_given_back_at_last() -> None:
    """Any number of peers, one after the other, have channels."""
    net, _, client, peer = allocated()
    for number in range(3 * MAX_CHANNELS):
        client.engine.prepare((PEER[0], 6000 + number), net.now)
        client.flush()
        keep_open(net, client, 50)
    client.send_runs([Run(b"x", 1)])
    run(net, 1)
    client.send_runs([Run(b"y", 1)])
    run(net, 1)
    assert [data for _, data in peer.received] == [b"x", b"y"]
    assert client.engine._channels[PEER].state is Grant.GRANTED
    assert max(client.engine._peers) < 0x4000 + MAX_CHANNELS


@pytest.mark.parametrize("silent_s", [15, 45, 100, 200])
def test_a_server_that_is_silent_when_a_channel_is_renewed(silent_s: int) -> None:
    """What is sent afterwards arrives, by channel or by indication: never on a channel that has expired."""
    net, server, client, peer = allocated(lifetime_s=3600)
    for _ in range(10):
        client.send_runs([Run(b"before", 6)])
        run(net, 53)
    server.silent = True
    run(net, silent_s)
    server.silent = False
    for number in range(60):
        client.send_runs([Run(b"%d" % number, len(b"%d" % number))])
        run(net, 10)
    arrived = [data for _, data in peer.received]
    assert arrived[-55:] == [b"%d" % number for number in range(5, 60)]


def test_closing_gives_the_allocation_back() -> None:
    net, server, client, _ = allocated()
    assert server.allocations == 1
    client.engine.close(net.now)
    client.flush()
    run(net, 1)
    assert server.allocations == 0
    client.send(b"x")
    assert client.engine.drain(net.now) == []


def test_unsigned_answers_are_not_believed() -> None:
    net, _, client, _ = allocated()
    client.engine._refresh_at = net.now
    client.engine.handle_timeout(net.now)
    [request] = client.engine.drain(net.now)
    identifier = StunMessage(request).transaction_id
    forged = encode(Method.REFRESH, Class.ERROR, identifier, [error_attribute(437, "gone")])
    client.engine.receive([forged], net.now)
    assert client.engine.events() == []
    assert client.engine.dropped == 1


@given(st.lists(st.binary(max_size=80), max_size=8), st.booleans())
def test_a_server_that_sends_garbage(pieces: list[bytes], is_stream: bool) -> None:
    client = TurnClient("u", "p", entropy=random.Random(1).randbytes, is_stream=is_stream)
    client.start(0.0)
    client.receive(pieces, 0.1)
    client.drain(0.1)
    assert all(isinstance(e, TurnFailed) for e in client.events())
    assert client.relayed is None


@given(st.integers(0, 255), st.binary(max_size=60), st.sampled_from(list(Class)[2:]))
def test_answers_with_arbitrary_attributes(seed: int, body: bytes, kind: Class) -> None:
    client = TurnClient("u", "p", entropy=random.Random(seed).randbytes)
    client.start(0.0)
    [request] = client.drain(0.0)
    identifier = StunMessage(request).transaction_id
    values = [(a, body) for a in (Attribute.XOR_RELAYED_ADDRESS, Attribute.LIFETIME, Attribute.ERROR_CODE)]
    client.receive([encode(Method.ALLOCATE, kind, identifier, values)], 0.1)
    client.handle_timeout(100.0)
    client.events()


def frame(data: bytes) -> bytes:
    return b"\x40\x01" + len(data).to_bytes(2, "big") + data + bytes(-len(data) & 3)


@given(st.lists(st.binary(max_size=50), max_size=10), st.lists(st.integers(1, 9), max_size=50))
def test_a_stream_in_any_pieces(datas: list[bytes], cuts: list[int]) -> None:
    stun = encode(Method.BINDING, Class.INDICATION, bytes(12), [(Attribute.SOFTWARE, b"abc")])
    stream = b"".join(frame(d) + stun for d in datas)
    framing = TurnFraming()
    messages: list[bytes] = []
    for cut in cuts:
        messages += framing.feed(stream[:cut])
        stream = stream[cut:]
    messages += framing.feed(stream)
    assert messages == [m for d in datas for m in (frame(d)[: 4 + len(d)], stun)]


def test_a_long_message_in_small_pieces_is_copied_once() -> None:
    framing = TurnFraming()
    stream = frame(b"\x80" * 60_000) * 2
    messages: list[bytes] = []
    pieces = [stream[at : at + 16] for at in range(0, len(stream), 16)]
    copied = copied_bytes(lambda piece: messages.extend(framing.feed(piece)), pieces)
    assert messages == [stream[: len(stream) // 2]] * 2
    assert copied < 12 * len(stream), "the square of it would be 200 times as much"


@given(st.binary(max_size=300))
def test_streams_of_garbage(data: bytes) -> None:
    framing = TurnFraming()
    try:
        framing.feed(data)
    except ParseError:
        return
    assert len(framing._held) <= MAX_HELD_BYTES


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("nonce", "realm", "goes_on"),
    [
        (bytes(763), b"r", True),
        (bytes(764), b"r", False),
        (bytes(65_400), b"r", False),
        (bytes(65_500), b"r", False),
        (b"n", b"r" * 763, True),
        (b"n", b"r" * 764, False),
        (b"n", b"\xff", False),
    ],
)
def test_nonces_and_realms_of_any_length(nonce: bytes, realm: bytes, goes_on: bool, is_stream: bool) -> None:
    client = TurnClient("user", "password", entropy=random.Random(1).randbytes, is_stream=is_stream)
    client.start(0.0)
    request = StunMessage(client.drain(0.0)[0])
    attributes = [error_attribute(401, ""), (Attribute.REALM, realm), (Attribute.NONCE, nonce)]
    answer = encode(Method.ALLOCATE, Class.ERROR, request.transaction_id, attributes, fingerprint=False)
    client.receive([answer], 0.1)
    assert bool(client.drain(0.1)) is goes_on
    assert [type(event) for event in client.events()] == ([] if goes_on else [TurnFailed])
