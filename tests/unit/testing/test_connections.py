"""Whole connections on the virtual internet."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import ssl
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from rtcstack import (
    EncodedMedia,
    EncodedSource,
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
)
from rtcstack.dtls.certificate import Certificate
from rtcstack.media.sinks import CallbackSink
from rtcstack.media.testsources import TestPatternSource, ToneSource, read_frame_number
from rtcstack.testing import Firewall, Host, Internet, Nat, Rule, TurnServer, run
from tests.unit.testing.calls import Call, until


def homes(seed: int = 1, *, mapping: Rule = Rule.ENDPOINT, filtering: Rule = Rule.ADDRESS_AND_PORT) -> Any:
    """Two hosts behind a NAT each, and a server."""
    internet = Internet(seed=seed)
    server = TurnServer(internet, "203.0.113.53")
    hosts = [
        internet.add_host(
            name, behind=Nat(internet, mapping=mapping, filtering=filtering, inside=f"192.168.{i}")
        )
        for i, name in enumerate(("alice", "bob"))
    ]
    return internet, server, *hosts


def configuration(server: TurnServer) -> RTCConfiguration:
    return RTCConfiguration(
        iceServers=[
            RTCIceServer(urls=f"stun:{server.host}"),
            RTCIceServer(urls=f"turn:{server.host}", username=server.USERNAME, credential=server.PASSWORD),
        ]
    )


def assert_nothing_is_left(internet: Internet) -> None:
    for host in internet.hosts:
        assert host.open_ports == [], host
        assert host.connections == {}, host


@pytest.mark.parametrize(("mapping", "filtering"), list(itertools.product(Rule, Rule)))
def test_data_channels_through_nats_of_every_kind(mapping: Rule, filtering: Rule) -> None:
    internet, server, alice, bob = homes(mapping=mapping, filtering=filtering)

    async def main() -> None:
        call = Call(alice, bob, configuration(server))
        with alice:
            channel = call.alice.keep(call.alice.connection.createDataChannel("chat"))
        await call.connect()
        await until(lambda: channel.readyState == "open" and call.bob.channels)
        channel.send("hello")
        call.bob.channels[0].send(b"x" * 100_000)
        await until(lambda: call.bob.messages and call.alice.messages)
        assert call.bob.messages == ["hello"]
        assert call.alice.messages == [b"x" * 100_000]
        types = {await call.selected_type(side) for side in (call.alice, call.bob)}
        # an answer comes from where the question went, or does not count (RFC 8445, section 7.2.5.2.1)
        relays = mapping is Rule.ADDRESS_AND_PORT or (
            mapping is Rule.ADDRESS and filtering is not Rule.ENDPOINT
        )
        assert ("relay" in types) == relays, types
        await asyncio.sleep(120)  # consent, keepalives, and mappings that would have ended without
        channel.send("still there")
        await until(lambda: len(call.bob.messages) == 2)
        await call.close()
        await asyncio.sleep(5)

    run(main(), internet=internet, limit_s=400)
    assert_nothing_is_left(internet)


def test_a_network_that_changes_is_survived() -> None:
    internet, server, alice, bob = homes()

    async def main() -> None:
        call = Call(alice, bob, configuration(server))
        with alice:
            channel = call.alice.keep(call.alice.connection.createDataChannel("chat"))
        await call.connect()
        alice.add_interface("wlan0", behind=Nat(internet, inside="10.1.1"))
        alice.remove_interface("eth0")
        with alice:
            call.alice.connection.restartIce()
        await call.negotiate()
        await until(lambda: call.is_connected)
        await until(lambda: channel.readyState == "open")
        channel.send("from elsewhere")
        await until(lambda: call.bob.messages == ["from elsewhere"])
        await call.close()

    run(main(), internet=internet, limit_s=400)
    assert_nothing_is_left(internet)


# -- media -----------------------------------------------------------------------------------------


def push_pictures(source: EncodedSource, alice: Host) -> asyncio.Task[None]:
    """Encoded test pictures: VP8's header, and a number."""

    async def pushes() -> None:
        for number in range(10_000):
            is_key = number % 50 == 0
            head = b"\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00" if is_key else b"\x11\x02\x00"
            data = head + number.to_bytes(2, "big") + bytes(3000 if is_key else 1000)
            source.push_encoded(
                EncodedMedia("video/VP8", data, number * 3000, Fraction(1, 90_000), key_frame=is_key)
            )
            await asyncio.sleep(1 / 30)

    return alice.run(pushes())


def test_encoded_pictures_and_sound_arrive() -> None:
    internet, server, alice, bob = homes()

    async def main() -> None:
        call = Call(alice, bob, configuration(server))
        with alice:
            video, audio = EncodedSource("video/VP8"), EncodedSource("audio/opus")
            call.alice.connection.addTrack(MediaStreamTrack("video", source=video))
            call.alice.connection.addTrack(MediaStreamTrack("audio", source=audio))
        await call.connect()
        assert [track.kind for track in call.bob.tracks] == ["video", "audio"]
        pushing = push_pictures(video, alice)
        await asyncio.sleep(10)
        stats = await call.bob.connection.getStats()
        inbound = [s for s in stats.values() if s["type"] == "inbound-rtp" and s["kind"] == "video"]
        assert inbound[0]["framesReceived"] > 250
        pushing.cancel()
        await call.close()

    run(main(), internet=internet, limit_s=400)
    assert_nothing_is_left(internet)


def test_real_coders_work_in_modelled_time() -> None:
    internet, server, alice, bob = homes()
    numbers: list[int] = []
    sound: list[int] = []

    async def main() -> None:
        call = Call(alice, bob, configuration(server))
        with alice:
            call.alice.connection.addTrack(MediaStreamTrack("video", source=TestPatternSource(160, 128, 15)))
            call.alice.connection.addTrack(MediaStreamTrack("audio", source=ToneSource()))
        await call.connect()

        def seen(frame: Any) -> None:
            number = read_frame_number(frame)
            if number is not None:
                numbers.append(number)

        with bob:
            sinks = [
                CallbackSink(track, seen if track.kind == "video" else lambda f: sound.append(f.samples))
                for track in call.bob.tracks
            ]
        await asyncio.sleep(5)
        assert len(numbers) > 60
        assert numbers == sorted(numbers)
        assert len(sound) > 200
        for sink in sinks:
            sink.stop()
        await call.close()

    run(main(), internet=internet, limit_s=400)
    assert_nothing_is_left(internet)


def certificate_for(name: str, path: Path) -> ssl.SSLContext:
    """A server's context for a name, and a file with the authority that vouches for it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2120, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(Certificate(certificate, key).to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.mark.parametrize("scheme", ["turn", "turns"])
def test_a_firewall_without_udp_leaves_the_relay_over_tcp_or_tls(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    internet = Internet(seed=1)
    internet.names["turn.example"] = ["203.0.113.53"]
    server = TurnServer(internet, "203.0.113.53")
    wall = Firewall(Nat(internet), udp=False, tcp_ports={443})
    alice, bob = internet.add_host("alice", behind=wall), internet.add_host("bob")
    ice = RTCIceServer(
        urls=f"{scheme}:turn.example:443?transport=tcp",
        username=server.USERNAME,
        credential=server.PASSWORD,
    )
    tls = None
    if scheme == "turns":
        tls = certificate_for("turn.example", tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def main() -> None:
        server.listen_tcp(443, tls)
        call = Call(alice, bob, RTCConfiguration(iceServers=[ice]))
        with alice:
            channel = call.alice.keep(call.alice.connection.createDataChannel("chat"))
        await call.connect()
        await until(lambda: channel.readyState == "open")
        assert "relay" in {await call.selected_type(call.alice), await call.selected_type(call.bob)}
        await call.close()
        await asyncio.sleep(5)
        assert server.allocations == 0
        server.close()

    run(main(), internet=internet, limit_s=400)
    assert wall.blocked > 0
    assert_nothing_is_left(internet)


def test_a_server_that_restarts_and_credentials_that_expire() -> None:
    internet, server, alice, bob = homes(mapping=Rule.ADDRESS_AND_PORT)

    async def main() -> None:
        call = Call(alice, bob, configuration(server))
        with alice:
            channel = call.alice.keep(call.alice.connection.createDataChannel("chat"))
        await call.connect()
        await until(lambda: channel.readyState == "open")
        server.restart()
        server.password = "another"
        await until(lambda: not call.is_connected, 60)
        assert server.allocations == 0
        server.password = server.PASSWORD
        with alice:
            call.alice.connection.restartIce()
        await call.negotiate()
        await until(lambda: call.is_connected, 60)
        channel.send("again")
        await until(lambda: call.bob.messages == ["again"])
        await call.close()

    run(main(), internet=internet, limit_s=600)
    assert_nothing_is_left(internet)
