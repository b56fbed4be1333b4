"""RTCConfiguration, certificates, descriptions and candidates as values.

Spec: webrtc-pc, sections 4.2, 4.6.2, 4.8.1 and 4.9.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtcstack import (
    DOMException,
    IceSettings,
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    NotSupportedError,
    RTCCertificate,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
    Settings,
)
from rtcstack.api.certificate import certificate_key, generate_certificate
from rtcstack.api.iceparameters import RTCIceParameters
from rtcstack.clock import timestamp_ms
from rtcstack.errors import SyntaxError as UrlSyntaxError
from tests.conformance.helpers import negotiate, pair, rejects, until


async def test_defaults() -> None:
    async with pair() as (a, _):
        configuration = a.getConfiguration()
        assert configuration.iceServers == []
        assert configuration.iceTransportPolicy == "all"
        assert configuration.bundlePolicy == "balanced"
        assert configuration.rtcpMuxPolicy == "require"
        assert configuration.iceCandidatePoolSize == 0
        assert configuration.certificates == []


TURN = {"urls": "turn:turn.example.org", "username": "u", "credential": "c"}


@pytest.mark.parametrize(
    ("configuration", "error"),
    [
        ({"iceServers": [{"urls": "http://example.org"}]}, UrlSyntaxError),
        ({"iceServers": [{"urls": ""}]}, UrlSyntaxError),
        ({"iceServers": [{"urls": []}]}, UrlSyntaxError),
        ({"iceServers": [{"urls": "stun:example.org?transport=udp"}]}, UrlSyntaxError),
        ({"iceServers": [{"urls": "turn:example.org"}]}, InvalidAccessError),
        ({"iceServers": [{"urls": "turn:example.org", "username": "u"}]}, InvalidAccessError),
        ({"iceServers": [{**TURN, "username": "u" * 510}]}, InvalidAccessError),
        ({"iceServers": [{"urls": ["stun:example.org"] * 33}]}, InvalidAccessError),
        ({"iceServers": [5]}, TypeError),
        ({"iceServers": [{}]}, TypeError),
        ({"iceTransportPolicy": "none"}, TypeError),
        ({"bundlePolicy": "sometimes"}, TypeError),
        ({"rtcpMuxPolicy": "negotiate"}, TypeError),
        ({"iceCandidatePoolSize": 256}, TypeError),
        ({"iceCandidatePoolSize": -1}, TypeError),
        ({"certificates": ["pem"]}, TypeError),
        ({"settings": {}}, TypeError),
        ("a string", TypeError),
    ],
)
def test_wrong_configuration(configuration: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        RTCPeerConnection(configuration)


def test_passwords_are_in_no_text_that_is_meant_to_be_read() -> None:
    secret = "s3cretpasswordofsomebody"
    servers = [{"urls": "turn:example.org", "username": "me", "credential": secret}]
    configuration = RTCConfiguration(
        iceServers=servers, settings=Settings(ice=IceSettings(ufrag="abcd", password=secret))
    )
    assert secret not in repr(configuration)
    pc = RTCPeerConnection(configuration)
    assert secret not in repr(pc.getConfiguration())
    assert secret not in repr(RTCIceParameters("abcd", secret))
    for url in (
        f"turn:me:{secret}@example.org",
        f"turn:{secret}@example.org:70000",
        f"turn:{'x' * 60}:{secret}@x",
    ):
        with pytest.raises(UrlSyntaxError) as caught:
            RTCPeerConnection({"iceServers": [{"urls": url, "username": "me", "credential": secret}]})
        assert secret not in str(caught.value)


def test_errors_carry_their_w3c_name() -> None:
    with pytest.raises(DOMException) as info:
        RTCPeerConnection({"iceServers": [{"urls": "http://example.org"}]})
    assert info.value.name == "SyntaxError"
    assert "http" in info.value.message


async def test_unknown_members_of_a_mapping_are_ignored() -> None:
    pc = RTCPeerConnection({"sdpSemantics": "unified-plan", "iceServers": [TURN]})
    assert pc.getConfiguration().iceServers == [RTCIceServer(**{**TURN, "urls": [TURN["urls"]]})]  # type: ignore[arg-type]
    await pc.close()


async def test_set_configuration() -> None:
    async with pair() as (a, _):
        a.setConfiguration({"iceServers": [TURN], "iceTransportPolicy": "relay"})
        assert a.getConfiguration().iceTransportPolicy == "relay"
        before = a.getConfiguration()
        for change in (
            {"bundlePolicy": "max-bundle"},
            {"alwaysNegotiateDataChannels": True},
            {"settings": Settings(max_message_size=5)},
            {"certificates": [await RTCPeerConnection.generateCertificate("ECDSA")]},
        ):
            with pytest.raises(InvalidModificationError):
                a.setConfiguration(change)
        assert a.getConfiguration() == before
        a.setConfiguration({"iceCandidatePoolSize": 1})
        a.addTransceiver("audio")
        await a.setLocalDescription()
        with pytest.raises(InvalidModificationError):
            a.setConfiguration({"iceCandidatePoolSize": 2})


async def test_target_latency() -> None:
    """A hint, which may be changed like a server, also when all is under way."""
    async with pair() as (a, _):
        assert a.getConfiguration().targetLatency == "lowest"
        a.addTransceiver("audio")
        await a.setLocalDescription()
        a.setConfiguration({"targetLatency": "none"})
        assert a.getConfiguration().targetLatency == "none"
        with pytest.raises(TypeError, match="targetLatency"):
            a.setConfiguration({"targetLatency": "low"})
        assert a.getConfiguration().targetLatency == "none"
        a.setConfiguration({})
        assert a.getConfiguration().targetLatency == "lowest"


@pytest.mark.parametrize(
    "name", ["max_message_size", "reader_idle_timeout_s", "ice_keepalive_s", "ice_failed_timeout_s"]
)
def test_settings_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings(**{name: 0})


async def test_certificates_are_used_and_kept() -> None:
    certificate = await RTCPeerConnection.generateCertificate({"name": "ECDSA", "namedCurve": "P-256"})
    again = RTCCertificate.fromPEM(certificate.toPEM())
    assert again.getFingerprints() == certificate.getFingerprints()
    [fingerprint] = certificate.getFingerprints()
    assert fingerprint.algorithm == "sha-256"
    async with pair(RTCConfiguration(certificates=[certificate]), RTCConfiguration()) as (a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        assert a.localDescription is not None
        assert fingerprint.value.upper() in a.localDescription.sdp
        await until(lambda: b.connectionState == "connected", b, "connectionstatechange")
        assert b.sctp is not None
        [remote] = b.sctp.transport.getRemoteCertificates()
        assert remote == certificate_key(certificate).der


async def test_rsa_certificate() -> None:
    certificate = await RTCPeerConnection.generateCertificate(
        {
            "name": "RSASSA-PKCS1-v1_5",
            "modulusLength": 2048,
            "publicExponent": bytes([1, 0, 1]),
            "hash": "SHA-256",
            "expires": 60_000,
        }
    )
    assert certificate.expires == pytest.approx(timestamp_ms() + 60_000, abs=5_000)
    async with pair(RTCConfiguration(certificates=[certificate]), RTCConfiguration()) as (a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        await until(lambda: a.connectionState == "connected", a, "connectionstatechange")


@pytest.mark.parametrize(
    ("algorithm", "error"),
    [
        ("HMAC", NotSupportedError),
        ({"name": "ECDSA", "namedCurve": "P-521"}, NotSupportedError),
        ({"name": "RSASSA-PKCS1-v1_5", "modulusLength": 512}, NotSupportedError),
        ({"name": "RSASSA-PKCS1-v1_5", "publicExponent": 2}, NotSupportedError),
        ({"name": "RSASSA-PKCS1-v1_5", "hash": "SHA-1"}, NotSupportedError),
        ({"name": "ECDSA", "expires": "soon"}, TypeError),
        ({"name": "ECDSA", "expires": -1}, TypeError),
    ],
)
async def test_certificates_that_cannot_be_made(algorithm: Any, error: type[BaseException]) -> None:
    await rejects(error, RTCPeerConnection.generateCertificate(algorithm))


async def test_an_expired_certificate_is_refused() -> None:
    certificate = await RTCPeerConnection.generateCertificate({"name": "ECDSA", "expires": 0})
    with pytest.raises(InvalidAccessError):
        RTCPeerConnection({"certificates": [certificate]})


@pytest.mark.parametrize(
    "pem", ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"]
)
def test_pem_that_cannot_be_read(pem: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own words
        RTCCertificate.fromPEM(pem)


def test_key_and_certificate_must_belong_together() -> None:
    one = generate_certificate("ECDSA").toPEM()
    other = generate_certificate("ECDSA").toPEM()
    marker = "-----BEGIN PRIVATE KEY-----"
    with pytest.raises(ValueError, match="does not belong"):
        RTCCertificate.fromPEM(one.split(marker)[0] + marker + other.split(marker)[1])


def test_session_description_is_a_value() -> None:
    description = RTCSessionDescription("offer", "v=0\r\n")
    assert RTCSessionDescription(**json.loads(json.dumps(description.toJSON()))) == description
    assert RTCSessionDescription({"type": "offer", "sdp": "v=0\r\n"}) == description
    assert RTCSessionDescription(sdp="v=0\r\n", type="offer") == description
    assert RTCSessionDescription("v=0\r\n", "offer") == description
    assert description.type == "offer"
    for wrong in (None, "unknown"):
        with pytest.raises(TypeError):
            RTCSessionDescription(wrong)


CANDIDATE = (
    "candidate:842163049 1 tcp 1677729535 2001:db8::5 9 typ srflx raddr fd00::2 rport 46154 tcptype active"
)


def test_candidate_fields() -> None:
    candidate = RTCIceCandidate(CANDIDATE, sdpMid="0", sdpMLineIndex=0, usernameFragment="abcd")
    assert candidate.foundation == "842163049"
    assert candidate.component == "rtp"
    assert candidate.protocol == "tcp"
    assert candidate.priority == 1677729535
    assert candidate.address == "2001:db8::5"
    assert candidate.port == 9
    assert candidate.type == "srflx"
    assert candidate.tcpType == "active"
    assert candidate.relatedAddress == "fd00::2"
    assert candidate.relatedPort == 46154
    assert candidate.usernameFragment == "abcd"
    assert RTCIceCandidate(candidate.toJSON()) == candidate
    assert RTCIceCandidate(**candidate.toJSON()) == candidate


def test_candidate_that_cannot_be_read_has_no_fields() -> None:
    candidate = RTCIceCandidate("candidate:nonsense", sdpMid="0")
    assert candidate.candidate == "candidate:nonsense"
    assert candidate.foundation is None
    assert candidate.port is None


def test_candidate_needs_a_section() -> None:
    with pytest.raises(TypeError):
        RTCIceCandidate("")
    with pytest.raises(TypeError):
        RTCIceCandidate("", sdpMLineIndex=70_000)


def test_an_empty_username_is_not_a_missing_one() -> None:
    pc = RTCPeerConnection({"iceServers": [{"urls": "turn:example.org", "username": "", "credential": ""}]})
    [server] = pc.getConfiguration().iceServers
    assert (server.urls, server.username) == (["turn:example.org"], "")
    for missing in ("username", "credential"):
        given = {"urls": "turn:example.org", "username": "u", "credential": "c"}
        del given[missing]
        with pytest.raises(InvalidAccessError):
            RTCPeerConnection({"iceServers": [given]})
    with pytest.raises(TypeError, match="iceServers"):
        RTCPeerConnection({"iceServers": None})


async def test_a_closed_connection_refuses_what_is_no_configuration_as_a_type_error() -> None:
    async with pair() as (a, _):
        await a.close()
        for given in (RTCConfiguration(), RTCConfiguration(iceServers=[{"urls": "no:url"}])):
            with pytest.raises(InvalidStateError):
                a.setConfiguration(given)
        with pytest.raises(TypeError):
            a.setConfiguration(RTCConfiguration(targetLatency="middling"))
