"""What is fuzzed, and what must hold: each target takes bytes and raises if its invariant breaks.

Run by hypothesis in `make test` (test_targets.py), and under coverage guidance in `make fuzz`
(coverage.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from rtcstack.dtls.certificate import Certificate
from rtcstack.dtls.engine import DtlsEngine
from rtcstack.dtls.events import DtlsRole, DtlsState
from rtcstack.engine import Run
from rtcstack.errors import ParseError, RTCError
from rtcstack.ice import IceConfig, parse_server_uri
from rtcstack.ice.engine import Arrival, IceEngine
from rtcstack.ice.stun import Attribute, Class, Method, encode
from rtcstack.ice.turn import TurnClient
from rtcstack.jsep import Description, SdpType
from rtcstack.sctp.association import AssociationState, SctpAssociation
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.dcep import OpenMessage
from rtcstack.sdp import Candidate
from tests.fuzz import api, dtls, ice, media, names
from tests.fuzz import sctp as channels
from tests.fuzz.budget import bounded, spends
from tests.fuzz.closing import assert_silent

__all__ = ["TARGETS"]


def candidate(data: bytes) -> None:
    """A candidate is a value that reads as it was written, or a ParseError."""
    try:
        parsed = Candidate.parse(data.decode("utf-8", "replace"))
    except ParseError:
        return
    assert Candidate.parse(str(parsed)) == parsed


def server_uri(data: bytes) -> None:
    """A server's URI is a value with a possible port, or a ParseError."""
    try:
        server = parse_server_uri(data.decode("utf-8", "replace"))
    except ParseError:
        return
    assert 0 < server.port < 65_536


def description(data: bytes) -> None:
    """A description is parsed, or refused with an RTCError that names a line."""
    text = data.decode("utf-8", "replace")
    try:
        parsed = Description.parse(SdpType.OFFER, text)
    except RTCError as error:
        refusal = error
    else:
        assert parsed.parsed is not None
        return
    assert refusal.errorDetail == "sdp-syntax-error"
    assert refusal.sdpLineNumber is not None


def dcep(data: bytes) -> None:
    """An OPEN message is a value that reads as it was written, or a ParseError."""
    try:
        message = OpenMessage.parse(data)
    except ParseError:
        return
    assert OpenMessage.parse(message.to_bytes()) == message


def _connected_association() -> tuple[DataChannels, bytes]:
    """An association that stands, and the ports and tag that its packets must carry."""
    a, b = (DataChannels(SctpAssociation(), is_dtls_client=client) for client in (True, False))
    a.connect(0.0)
    b.connect(0.0)
    header = b""
    for _ in range(6):
        for source, sink in ((a, b), (b, a)):
            packets = source.drain(0.0)
            if packets and source is b:
                header = packets[-1][:8]
            if packets:
                sink.receive(packets, 0.0)
    assert a.association.state is AssociationState.CONNECTED
    a.events()
    return a, header


def sctp(data: bytes) -> None:
    """Chunks from a peer that knows the tag: counted, answered or fatal to the association, never
    an exception; what is held stays within the window and two messages."""
    engine, header = _connected_association()
    now = 0.0
    while data:
        size = data[0] * 4 + 1
        chunks, data = data[1:size], data[size:]
        packet = header + bytes(4) + chunks  # a zero checksum was agreed
        engine.receive([packet], now)
        engine.events()
        engine.drain(now)
        now += 0.1
        engine.handle_timeout(now)
    block = engine.association._block
    if block is not None:
        options = engine.association.options
        bound = options.receive_window_bytes + 2 * options.max_message_size
        assert block.reassembly.held_bytes <= bound
    engine.association.abort(now, "over")
    engine.drain(now)
    engine.events()
    assert_silent(engine, [header + bytes(4) + bytes(8)], now, answers=True)


def sctp_stranger(data: bytes) -> None:
    """Packets from anywhere: a stranger without the tag changes nothing."""
    engine, _ = _connected_association()
    engine.receive([data], 0.0)
    assert engine.association.state is AssociationState.CONNECTED
    assert engine.events() == [] or not list(engine.events())


_CERTIFICATE = Certificate.generate()


def dtls_handshake(data: bytes) -> None:
    """Bytes in the middle of a handshake: it goes on or fails, and no data is believed."""
    server = DtlsEngine(_CERTIFICATE)
    server.start(DtlsRole.SERVER, [_CERTIFICATE.fingerprint()], 0.0)
    while data:
        size = data[0] + 1
        datagram, data = data[1:size], data[size:]
        if datagram:
            server.receive([datagram], 0.0)
    assert server.state in (DtlsState.CONNECTING, DtlsState.FAILED)
    assert server.received() == []
    server.close()
    server.drain(0.0)
    server.events()
    assert_silent(server, [b"\x16"], 0.0)


def _connected_dtls() -> tuple[DtlsEngine, DtlsEngine]:
    client, server = DtlsEngine(_CERTIFICATE), DtlsEngine(_CERTIFICATE)
    fingerprints = [_CERTIFICATE.fingerprint()]
    server.start(DtlsRole.SERVER, fingerprints, 0.0)
    client.start(DtlsRole.CLIENT, fingerprints, 0.0)
    for _ in range(4):
        server.receive(client.drain(0.0), 0.0)
        client.receive(server.drain(0.0), 0.0)
    assert server.state is DtlsState.CONNECTED
    return client, server


_DTLS = _connected_dtls()


def dtls_records(data: bytes) -> None:
    """Forged records on a connection that stands: dropped, and it stands."""
    _, server = _DTLS
    server.receive_runs([Run(data, max(1, len(data)))] if data else [], 0.0)
    assert server.state is DtlsState.CONNECTED
    assert server.received() == []


_STUN_PEER = ("192.0.2.1", 9)


def _checking_engine() -> tuple[IceEngine, int]:
    """An ICE engine that checks a peer, and the path that it does so on."""
    engine = IceEngine(IceConfig(), ufrag="ours", pwd="o" * 24, entropy=random.Random(1).randbytes)
    engine.begin_gathering()
    path = engine.add_socket(engine.newest, ("192.0.2.2", 1000), 0, 0.0)
    engine.end_of_sources(engine.newest)
    engine.start("theirs", "t" * 24, controlling=True, remote_is_lite=False, now=0.0)
    candidate = Candidate.parse("1 1 udp 1 192.0.2.1 9 typ host")
    engine.add_remote_candidate(candidate, _STUN_PEER, 0.0)
    engine.drain(0.0)
    engine.events()
    return engine, path.id


def stun(data: bytes) -> None:
    """STUN from anywhere: counted and dropped; nobody without the password becomes a candidate."""
    engine, path = _checking_engine()
    for remote in (_STUN_PEER, ("198.51.100.1", 9)):
        engine.receive([Arrival(path, remote, data)], 0.1)
    engine.handle_timeout(1.0)
    assert len(engine.newest.remotes) == 1
    assert engine.selected is None
    assert len(engine.drain(1.0)) <= 4


def stun_peer(data: bytes) -> None:
    """Checks and answers of a peer that knows the password, with attributes of any kind."""
    engine, path = _checking_engine()
    now = 0.1
    while data:
        kind, method = (Class.REQUEST, Class.SUCCESS, Class.ERROR)[data[0] % 3], Method.BINDING
        size = data[0] // 3 + 1
        body, data = data[1:size], data[size:]
        attributes = [(Attribute.USERNAME, b"ours:theirs"), (Attribute.PRIORITY, bytes(4))]
        while len(body) > 2:
            length = body[2] % 24
            attributes.append((int.from_bytes(body[:2], "big"), body[3 : 3 + length]))
            body = body[3 + length :]
        waiting = list(engine.transaction_ids())
        identifier = waiting[0] if waiting and kind != Class.REQUEST else bytes(12)
        key = b"o" * 24 if kind == Class.REQUEST else b"t" * 24
        message = encode(method, kind, identifier, attributes, key=key)
        with spends(len(message), ice.ICE_PASS):
            engine.receive([Arrival(path, (f"198.51.100.{len(data) % 250}", 9), message)], now)
            now += 0.3
            engine.handle_timeout(now)
            engine.drain(now)
            engine.events()
    assert len(engine.newest.remotes) <= 133
    assert len(engine.newest.checklist) <= 100
    engine.close(now)
    engine.drain(now)
    engine.events()
    assert_silent(engine, [Arrival(path, _STUN_PEER, encode(Method.BINDING, Class.REQUEST, bytes(12)))], now)


def turn_server(data: bytes) -> None:
    """What a TURN server may send over a stream: it fails or goes on, and holds a bounded rest."""
    client = TurnClient("u", "p", entropy=random.Random(1).randbytes, is_stream=True)
    client.start(0.0)
    now = 0.0
    while data:
        size = data[0] + 1
        client.receive([data[1:size]], now)
        data = data[size:]
        client.received()
        client.events()
        now += 1.0
        client.handle_timeout(now)
        client.drain(now)
    assert client.relayed is None


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target if hasattr(target, "__wrapped__") else bounded(target)
    for target in (
        candidate,
        server_uri,
        description,
        dcep,
        sctp,
        sctp_stranger,
        dtls_handshake,
        dtls_records,
        stun,
        stun_peer,
        turn_server,
        *channels.TARGETS,
        *dtls.TARGETS,
        *ice.TARGETS,
        *names.TARGETS,
        *api.TARGETS,
        *media.TARGETS,
    )
}
