"""Fuzz targets of ICE: a TURN server that answers what it was asked, a peer with the password, streams."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rtcstack.config import IceSettings
from rtcstack.engine import Address, Run
from rtcstack.errors import ParseError
from rtcstack.ice import IceConfig
from rtcstack.ice.engine import Arrival, IceEngine
from rtcstack.ice.mux import MAX_ADDRESSES, MuxSocket
from rtcstack.ice.stun import Attribute, Class, Method, StunMessage, encode, encode_address, long_term_key
from rtcstack.ice.tcp import MAX_UNCLAIMED, MAX_UNCLAIMED_BYTES, TcpCarrier, TcpListener
from rtcstack.ice.turn import TurnClient
from rtcstack.ice.turn.framing import MAX_HELD_BYTES
from rtcstack.platform import HostAddress, UdpOptions
from rtcstack.sdp import Candidate
from rtcstack.testing import run
from tests.fuzz.budget import Limit, spends
from tests.fuzz.closing import assert_silent
from tests.fuzz.script import Mutator, Script

__all__ = ["ICE_PASS", "TARGETS"]

MAX_ROUNDS = 80

ICE_PASS = Limit(6_000, 40)
"""Steps of a pass of ICE. What is due once in a while looks at all pairs, of which there are 100 at most:
that takes up to 1,000."""

TURN_GOODBYE_S = 100.0
"""After its end a TURN client waits for what it asked last, 39.5 s, and once more where the server
wants another nonce then."""

# -- TURN -----------------------------------------------------------------------------------------

_USER, _PASSWORD, _REALM = "u", "p", "r"
_KEY = long_term_key(_USER, _REALM, _PASSWORD)
_RELAYED: Address = ("203.0.113.5", 5000)
_CODES = (401, 438, 300, 400, 403, 420, 437, 440, 486, 508, 500, 699)
_LONG = (0, 1, 127, 128, 763, 764, 1500)
_TURN_PEERS: tuple[Address, ...] = (("198.51.100.1", 9), ("198.51.100.2", 10), ("198.51.100.1", 11))


def _answer(script: Script, request: bytes) -> bytes:
    """What the server makes of a request: the right answer, or another one, or a damaged one."""
    message = StunMessage(request)
    identifier = message.transaction_id
    how = script.byte()
    method = message.method
    attributes: list[tuple[int, bytes]] = []
    kind, key = Class.SUCCESS, _KEY if message.get(Attribute.NONCE) is not None else None
    if (key is None and how % 16 < 12) or how % 16 == 1:
        kind, key = Class.ERROR, None
        attributes = [
            (Attribute.ERROR_CODE, bytes((0, 0, 4, 1)) + b"no"),
            (Attribute.REALM, _REALM.encode()),
            (Attribute.NONCE, b"nonce %d" % how),
        ]
    elif how % 16 in (2, 3):
        kind, code = Class.ERROR, _CODES[script.byte() % len(_CODES)]
        long = bytes([120]) * _LONG[script.byte() % len(_LONG)]
        attributes = [
            (Attribute.ERROR_CODE, bytes((0, 0, code // 100, code % 100)) + long),
            (Attribute.NONCE, long),
        ]
        if how & 16:
            attributes.append((Attribute.REALM, long if how & 32 else _REALM.encode()))
        if how & 64:
            attributes.append((Attribute.ALTERNATE_SERVER, encode_address(_RELAYED, None)))
        if how & 128:
            key = None
    else:
        if method == Method.ALLOCATE:
            attributes.append((Attribute.XOR_RELAYED_ADDRESS, encode_address(_RELAYED, identifier)))
            if how & 32:
                second = encode_address(("2001:db8::9", 1), identifier)
                attributes.append((Attribute.XOR_RELAYED_ADDRESS, second))
            if how & 64:
                attributes.append((Attribute.ADDRESS_ERROR_CODE, script.piece()[:40]))
            attributes.append((Attribute.XOR_MAPPED_ADDRESS, encode_address(("192.0.2.1", 7), identifier)))
        lifetime = (600, 0, 1, 20, 0xFFFF_FFFF, 3600)[script.byte() % 6]
        attributes.append((Attribute.LIFETIME, lifetime.to_bytes(4, "big")))
        if how & 16:
            attributes.append((script.number(), script.piece()))
    return encode(method, kind, identifier, attributes, key=key)


def _relayed(script: Script) -> bytes:
    """What a server sends unasked: channel data, indications."""
    what = script.byte()
    data = script.piece()
    if what & 1:
        length = len(data) if what & 2 else script.number()
        return (0x4000 + (what >> 2 & 3)).to_bytes(2, "big") + length.to_bytes(2, "big") + data
    identifier = bytes(12)
    peer = encode_address(_TURN_PEERS[what >> 2 & 1], identifier)
    attributes = [(Attribute.XOR_PEER_ADDRESS, peer), (Attribute.DATA, data)]
    return encode(Method.DATA, Class.INDICATION, identifier, attributes[: 1 + (what >> 4 & 1)])


def _turn(data: bytes, *, is_stream: bool) -> None:
    script = Script(data)
    both = bool(script.byte() & 1)
    client = TurnClient(_USER, _PASSWORD, entropy=random.Random(1).randbytes, is_stream=is_stream, both=both)
    client.start(0.0)
    mutator = Mutator(script)
    now = 0.0
    for _ in range(MAX_ROUNDS):
        if script.is_over:
            break
        answers = []
        for request in client.drain(now):
            try:
                if StunMessage(request).kind == Class.REQUEST:
                    answers.append(_answer(script, request))
            except ParseError:  # channel data
                pass
        answers = mutator.pass_on(answers)
        action = script.byte()
        if action & 1:
            answers.append(_relayed(script))
        if is_stream:
            stream = b"".join(a + (bytes(-len(a) & 3) if a[:1] >= b"\x40" else b"") for a in answers)
            cut = script.byte() * 4 if action & 2 else len(stream)
            answers = [stream[:cut], stream[cut:]]
        with spends(sum(map(len, answers))):
            client.receive(answers, now)
        if action & 4 and action & 64:
            client.probe(now)
        if action & 4:
            peer = _TURN_PEERS[action >> 3 & 3] if action & 24 != 24 else (f"198.18.0.{script.byte()}", 1)
            client.prepare(peer, now)
            client.send(script.piece(), peer, now)
        if action & 32:
            now += (0.5, 60.0, 241.0, 541.0)[action >> 6]
            with spends(0):
                client.handle_timeout(now)
        for _peer, payload, _at in client.received():
            assert len(payload) <= 65_535
        client.events()
        if client._framing is not None:
            assert len(client._framing._held) <= MAX_HELD_BYTES
        assert len(client._permissions) <= 128
        assert len(client._channels) <= 64
        for request in client._out:
            assert len(request) <= 4_096
    _assert_turn_over(client, list(mutator.seen), now)


def _assert_turn_over(client: TurnClient, answers: list[bytes], now: float) -> None:
    """After the end it lets go: nothing is asked for ever, and nothing new begins."""
    client.close(now)
    client.drain(now)
    closed_at = now
    while (due := client.next_timeout()) is not None:
        now = max(now, due)
        assert now <= closed_at + TURN_GOODBYE_S
        client.handle_timeout(now)
        client.receive(answers, now)
        client.drain(now)


def turn_datagrams(data: bytes) -> None:
    """A server that answers by valid transaction ids, over UDP: right, wrong, long, damaged and unasked."""
    _turn(data, is_stream=False)


def turn_stream(data: bytes) -> None:
    """The same over TCP, cut anywhere."""
    _turn(data, is_stream=True)


# -- an agent's life ------------------------------------------------------------------------------

_HOSTS = ("198.51.100.1", "198.51.100.2", "2001:db8::1", "192.0.2.1")


def _check(script: Script, engine: IceEngine) -> tuple[Address, bytes]:
    """A message of the peer, who knows all passwords: a check, or an answer to one of ours."""
    what = script.byte()
    remote = _HOSTS[what & 3], 1 + (script.byte() % 8 if what & 4 else 8)
    generations = list(engine._by_ufrag.values())
    generation = generations[script.byte() % len(generations)]
    waiting = engine.transaction_ids()
    attributes: list[tuple[int, bytes]] = []
    if what & 8 or not waiting:
        kind, identifier, key = Class.REQUEST, script.take(12).ljust(12, b"\0"), generation.pwd.encode()
        attributes.append((Attribute.USERNAME, f"{generation.ufrag}:theirs{what >> 6}".encode()))
        attributes.append((Attribute.PRIORITY, (script.number() << 16).to_bytes(4, "big")))
        role = Attribute.ICE_CONTROLLED if what & 16 else 0x802A
        attributes.append((role, script.take(8).ljust(8, b"\0")))
        if what & 32:
            attributes.append((Attribute.USE_CANDIDATE, b""))
    else:
        identifier, key = waiting[script.byte() % len(waiting)], b"t" * 24
        kind = Class.ERROR if what & 16 else Class.SUCCESS
        if kind == Class.ERROR:
            code = (487, 401, 400, 500)[what >> 6]
            attributes.append((Attribute.ERROR_CODE, bytes((0, 0, code // 100, code % 100))))
        else:
            mapped = (("192.0.2.2", 1000), ("203.0.113.9", 1 + script.byte()))[what >> 5 & 1]
            attributes.append((Attribute.XOR_MAPPED_ADDRESS, encode_address(mapped, identifier)))
    if script.byte() & 1:
        attributes.append((script.number(), script.piece()))
    return remote, encode(Method.BINDING, kind, identifier, attributes, key=key)


def _choose(script: Script, engine: IceEngine, what: int, now: float) -> None:
    """The application has its say on a pair."""
    pairs = [pair for generation in engine._by_ufrag.values() for pair in generation.checklist]
    if what & 3 == 0 or not pairs:
        engine.hold_nominations()
        return
    pair = pairs[script.byte() % len(pairs)]
    if what & 3 == 1:
        engine.select(pair, now)
    elif what & 3 == 2:
        engine.remove(pair, now)
    else:
        engine.answer(pair, now, accepted=bool(what & 4))


def ice_life(data: bytes) -> None:
    """Full and lite agents, checks before the start, restarts, lost paths, a peer that says anything, and an
    application that has its say on pairs."""
    script = Script(data)
    mode = script.byte()
    config = IceConfig(options=IceSettings(lite=bool(mode & 1), renomination=bool(mode & 2)))
    engine = IceEngine(config, ufrag="ours", pwd="o" * 24, entropy=random.Random(1).randbytes)
    mutator = Mutator(script)
    now = 0.0
    paths: list[int] = []

    def gather() -> None:
        if engine.begin_gathering():
            newest = engine.newest
            paths.extend(engine.add_socket(newest, ("192.0.2.2", p), p, now).id for p in (1000, 1001))
            engine.end_of_sources(engine.newest)

    def start() -> None:
        for number in range(2):
            candidate = Candidate.parse(f"1 1 udp {number + 1} 198.51.100.{number + 1} 9 typ host")
            engine.add_remote_candidate(candidate, (f"198.51.100.{number + 1}", 9), now)
        lite = bool(mode & 8)
        engine.start("theirs0", "t" * 24, controlling=bool(mode & 4), remote_is_lite=lite, now=now)

    gather()
    if mode & 16:
        start()
    for _ in range(MAX_ROUNDS):
        if script.is_over:
            break
        action = script.byte()
        match action % 16:
            case 0:
                start()
            case 1:
                engine.restart(None, None, now)
                gather()
            case 2:
                engine.cancel_restart(now)
            case 3 if action & 128:
                known = {"192.0.2.2", "198.51.100.1"}
                engine.addresses_changed(known if action & 64 else (), () if action & 64 else known, now)
            case 3:
                engine.lose_path(paths[script.byte() % len(paths)], "gone", now)
            case 4:
                engine.end_of_remote_candidates()
            case 5:
                engine.heard(engine.find_pair(paths[0], ("198.51.100.1", 9)), now)
            case 6 | 7 | 8:
                now += (0.02, 0.3, 2.5, 31.0)[action >> 4 & 3]
                with spends(0, ICE_PASS):
                    engine.handle_timeout(now)
            case 9 if action & 128:
                _choose(script, engine, action >> 4 & 7, now)
            case 9:
                ufrag = f"theirs{action >> 4 & 3}"
                engine.start_anew(ufrag, "t" * 24, remote_is_lite=bool(mode & 8), now=now)
            case _:
                remote, message = _check(script, engine)
                path = paths[-1 - (action >> 4) % min(4, len(paths))]
                arrivals = [Arrival(path, remote, each) for each in mutator.pass_on([message])]
                with spends(sum(len(each.data) for each in arrivals), ICE_PASS):
                    engine.receive(arrivals, now)
        engine.drain(now)
        engine.events()
        assert len(engine._by_ufrag) <= 6
        for generation in engine._by_ufrag.values():
            assert len(generation.remotes) <= 133
            assert len(generation.checklist) <= 100
        assert len(engine.transaction_ids()) <= 512
        due = engine.next_timeout()
        assert due is None or due < now + 3600
    engine.close(now)
    engine.drain(now)
    engine.events()
    late = [Arrival(path, ("198.51.100.1", 9), message) for path in paths for message in mutator.seen]
    assert_silent(engine, late, now)


# -- TCP and shared ports -------------------------------------------------------------------------


class _Stream:
    """A connection that takes what is written."""

    sockname: Address = ("192.0.2.2", 1000)
    waiting_bytes = 0

    def __init__(self, port: int) -> None:
        self.peername: Address = ("198.51.100.1", port)
        self.is_closed = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed

    def close(self) -> None:
        self.is_closed = True


class _Owner:
    """An agent, as carriers know it."""

    def __init__(self) -> None:
        self.accepted = 0
        self.stun: list[bytes] = []
        self.packets: list[bytes] = []
        self.known: set[Address] = set()

    def on_stun(self, path: int, data: bytes, address: Address, now: float) -> None:
        self.stun.append(data)
        if len(data) % 3:
            self.known.add(address)

    def receiver(self, path: int, address: Address) -> Any:
        return self if address in self.known else None

    def on_datagrams(self, dtls: list[Run], srtp: list[bytes], now: float, arrived: Any = None) -> None:
        self.packets += [each.data for each in dtls] + srtp

    def on_carrier_lost(self, path: int, reason: str) -> None:
        pass

    def on_tcp_accepted(self, listener: int, carrier: TcpCarrier, peer: Address) -> int | None:
        self.accepted += 1
        return self.accepted if self.accepted < 33 else None


def _claim(script: Script) -> bytes:
    """A check for somebody here, or for nobody."""
    who = script.byte()
    ufrag = ("ours", "mine", "nobody", "")[who & 3]
    kind = Class.REQUEST if who & 12 else Class.INDICATION
    attributes = [(Attribute.USERNAME, f"{ufrag}:theirs".encode()), (script.number(), script.take(who >> 4))]
    return encode(Method.BINDING, kind, script.take(12).ljust(12, b"\0"), attributes[: who >> 4 or 1])


async def _tcp(data: bytes) -> None:
    script = Script(data)
    place = TcpListener(HostAddress("192.0.2.2", "eth0"), is_own=False)
    owners = _Owner(), _Owner()
    for owner, ufrag in zip(owners, ("ours", "mine"), strict=True):
        place.attach(owner, 1, ufrag)
    carriers: list[TcpCarrier] = []
    mutator = Mutator(script)
    while not script.is_over and len(carriers) < 100:
        action = script.byte()
        if action & 3 == 0 or not carriers:
            for _ in range(action >> 4 or 1):
                carriers.append(place._accept(_Stream(len(carriers) + 1)))
            assert len(place._waiting) <= MAX_UNCLAIMED
            continue
        carrier = carriers[script.byte() % len(carriers)]
        packet = _claim(script) if action & 4 else bytes((script.byte(),)) + script.piece()
        framed = b"".join(len(p).to_bytes(2, "big") + p for p in mutator.pass_on([packet]) if len(p) < 65_536)
        cut = script.byte() if action & 8 else len(framed)
        for piece in (framed[:cut], framed[cut:]):
            with spends(len(piece)):
                carrier.on_data(piece, 0.0)
        assert len(carrier._held) <= (MAX_UNCLAIMED_BYTES if carrier._owner is None else 65_537)
        if action & 16:
            carrier.on_lost("gone")
    for owner in owners:
        assert all(packet[0] < 4 for packet in owner.stun)
        assert all(20 <= packet[0] < 64 or 128 <= packet[0] < 192 for packet in owner.packets)
    place.close()
    assert not place._waiting
    assert all(carrier._owner is not None or carrier._closed for carrier in carriers)


def ice_tcp(data: bytes) -> None:
    """Connections that claim to be for somebody, or do not, cut anywhere: bounded, or hung up on."""
    run(_tcp(data))


def ice_mux(data: bytes) -> None:
    """A shared port: who is named gets the check; who is not heard gets nothing; addresses stay few."""
    script = Script(data)
    udp = SimpleNamespace(send=lambda *_: None, send_runs=lambda *_: None, is_full=False, close=lambda: None)
    network: Any = SimpleNamespace(open_udp=lambda *_: udp)
    mux = MuxSocket(network, HostAddress("192.0.2.2", "eth0"), 1000, UdpOptions())
    owners = _Owner(), _Owner()
    carriers = [mux.attach(o, 1, ufrag) for o, ufrag in zip(owners, ("ours", "mine"), strict=True)]
    mutator = Mutator(script)
    for _ in range(400):
        if script.is_over:
            break
        action = script.byte()
        address = ("198.51.100.1", 1 + script.number() % 600)
        if action & 3 == 0:
            carriers[action >> 2 & 1].send(b"\0\1" if action & 8 else b"\1\1", address)
            continue
        if action & 3 == 1 and action >> 2 == 1:
            mux.forget(carriers[script.byte() & 1])
        packets = mutator.pass_on([_claim(script) if action & 4 else bytes((script.byte(),))])
        for packet in packets:
            heard = {o: len(o.stun) for o in owners}
            with spends(len(packet)):
                mux.on_stun(packet, address, 0.0)
            told = [o for o in owners if len(o.stun) > heard[o]]
            assert len(told) <= 1 or packet[:2] != b"\0\1"
            mux.route(address)
        assert all(len(carrier.addresses) <= MAX_ADDRESSES for carrier in carriers)
        assert len(mux._heard) <= 2 * MAX_ADDRESSES
    for carrier in carriers:
        carrier.close()
    assert not mux._senders
    assert not mux._heard


TARGETS: tuple[Callable[[bytes], None], ...] = (turn_datagrams, turn_stream, ice_life, ice_tcp, ice_mux)
