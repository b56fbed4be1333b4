"""The names that programs for aiortc import, and `install`."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys
import textwrap

import pytest

import rtcstack.compat.aiortc as package
from rtcstack.compat.aiortc import rtcdtlstransport, rtcsctptransport

MODULES = {
    "clock": "current_datetime current_ms current_ntp_time datetime_from_ntp datetime_to_ntp",
    "codecs": "CODECS HEADER_EXTENSIONS PCMA_CODEC PCMU_CODEC depayload get_capabilities get_decoder "
    "get_encoder is_rtx",
    "codecs.base": "Decoder Encoder",
    "codecs.g711": "PcmaDecoder PcmaEncoder PcmuDecoder PcmuEncoder SAMPLES_PER_FRAME SAMPLE_RATE",
    "codecs.g722": "G722Decoder G722Encoder CLOCK_RATE SAMPLE_RATE",
    "codecs.h264": "DEFAULT_BITRATE H264Decoder H264Encoder MAX_BITRATE MAX_FRAME_RATE MIN_BITRATE",
    "codecs.opus": "OpusDecoder OpusEncoder SAMPLES_PER_FRAME SAMPLE_RATE",
    "codecs.vpx": "DEFAULT_BITRATE MAX_BITRATE MIN_BITRATE Vp8Decoder Vp8Encoder",
    "contrib": "",
    "contrib.media": "AUDIO_PTIME AudioFrame MediaBlackhole MediaPlayer MediaRecorder MediaRelay "
    "MediaStreamError MediaStreamTrack PlayerStreamTrack REAL_TIME_FORMATS RelayStreamTrack VideoFrame",
    "contrib.signaling": "BYE CopyAndPasteSignaling TcpSocketSignaling UnixSocketSignaling "
    "add_signaling_arguments create_signaling object_from_string object_to_string",
    "events": "RTCTrackEvent",
    "exceptions": "InternalError InvalidAccessError InvalidStateError OperationError",
    "jitterbuffer": "JitterBuffer JitterFrame",
    "mediastreams": "AUDIO_PTIME AudioStreamTrack MediaStreamError MediaStreamTrack VIDEO_CLOCK_RATE "
    "VIDEO_PTIME VIDEO_TIME_BASE VideoStreamTrack convert_timebase",
    "rate": "RateCounter",
    "rtcconfiguration": "RTCBundlePolicy RTCConfiguration RTCIceServer RTCIceTransportPolicy",
    "rtcdatachannel": "RTCDataChannel RTCDataChannelParameters",
    "rtcdtlstransport": "RTCCertificate RTCDtlsFingerprint RTCDtlsParameters RTCDtlsTransport "
    "X509_DIGEST_ALGORITHMS",
    "rtcicetransport": "RTCIceCandidate RTCIceGatherer RTCIceParameters RTCIceTransport parse_stun_turn_uri",
    "rtcpeerconnection": "RTCConfiguration RTCPeerConnection RTCSessionDescription",
    "rtcrtpparameters": "RTCRtcpFeedback RTCRtcpParameters RTCRtpCapabilities RTCRtpCodecCapability "
    "RTCRtpCodecParameters RTCRtpDecodingParameters RTCRtpEncodingParameters RTCRtpHeaderExtensionCapability "
    "RTCRtpHeaderExtensionParameters RTCRtpParameters RTCRtpReceiveParameters RTCRtpSendParameters",
    "rtcrtpreceiver": "RTCRtpReceiver RemoteStreamTrack",
    "rtcrtpsender": "RTCRtpSender",
    "rtcrtptransceiver": "RTCRtpTransceiver",
    "rtcsctptransport": "RTCSctpCapabilities RTCSctpTransport USERDATA_MAX_LENGTH",
    "rtcsessiondescription": "RTCSessionDescription",
    "rtp": "RtpPacket",
    "sdp": "DIRECTIONS GroupDescription H264Level H264Profile MediaDescription SessionDescription "
    "SsrcDescription candidate_from_sdp candidate_to_sdp parse_h264_profile_level_id",
    "stats": "RTCInboundRtpStreamStats RTCOutboundRtpStreamStats RTCRemoteInboundRtpStreamStats "
    "RTCRemoteOutboundRtpStreamStats RTCStatsReport RTCTransportStats",
    "utils": "random16 random32 uint16_add uint16_gt uint32_add uint32_gt",
}


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_its_names(name: str) -> None:
    module = importlib.import_module(f"{package.__name__}.{name}")
    assert set(MODULES[name].split()) <= set(dir(module))


def test_every_name_of_the_package_is_there() -> None:
    assert package.__version__ == "1.16.0"
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_arguments_have_their_names_and_order() -> None:
    for function, expected in (
        (package.RTCPeerConnection, "configuration"),
        (
            package.RTCPeerConnection.createDataChannel,
            "self label maxPacketLifeTime maxRetransmits ordered protocol negotiated id",
        ),
        (package.RTCPeerConnection.addTransceiver, "self trackOrKind direction"),
        (package.RTCPeerConnection.setLocalDescription, "self sessionDescription"),
        (package.RTCSessionDescription, "sdp type"),
        (package.RTCIceServer, "urls username credential credentialType"),
        (package.RTCConfiguration, "iceServers iceTransportPolicy bundlePolicy alwaysNegotiateDataChannels"),
        (
            package.RTCIceCandidate,
            "component foundation ip port priority protocol type relatedAddress relatedPort sdpMid "
            "sdpMLineIndex tcpType",
        ),
        (package.RTCRtpCodecCapability, "mimeType clockRate channels parameters"),
    ):
        assert " ".join(inspect.signature(function).parameters) == expected


def test_values_that_programs_set_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = package.RTCCertificate.generateCertificate()
    assert [each.algorithm for each in certificate.getFingerprints()] == ["sha-256", "sha-384", "sha-512"]
    one = {"sha-256": rtcdtlstransport.X509_DIGEST_ALGORITHMS["sha-256"]}
    monkeypatch.setattr(rtcdtlstransport, "X509_DIGEST_ALGORITHMS", one)
    assert [each.algorithm for each in certificate.getFingerprints()] == ["sha-256"]
    monkeypatch.setattr(rtcsctptransport, "USERDATA_MAX_LENGTH", 1100)


def run(program: str) -> str:
    """What a program prints."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, capture_output=True, text=True
    ).stdout


def test_installed_it_is_what_programs_import() -> None:
    said = run(
        """
        import rtcstack.compat.aiortc
        rtcstack.compat.aiortc.install()
        rtcstack.compat.aiortc.install()
        import aiortc, aiortc.contrib.media, importlib.metadata
        from aiortc import RTCPeerConnection
        from aiortc.contrib.signaling import BYE
        from aiortc.rtcrtpsender import RTCRtpSender
        import aiortc.rtcdtlstransport as dtls
        print(aiortc.__name__, RTCPeerConnection.__module__, aiortc.RTCRtpSender is RTCRtpSender)
        print(*map(importlib.metadata.version, ("aiortc", "rtcstack")), aiortc.__version__)
        print(importlib.metadata.distribution("aiortc").metadata["Name"])
        """
    )
    assert said.split("\n")[:3] == [
        "rtcstack.compat.aiortc rtcstack.compat.aiortc.rtcpeerconnection True",
        f"1.16.0 {importlib.metadata.version('rtcstack')} 1.16.0",
        "aiortc",
    ]


def test_all_modules_are_installed() -> None:
    names = [each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    said = run(
        """
        import sys, rtcstack.compat.aiortc
        rtcstack.compat.aiortc.install()
        print(*sorted(name for name in sys.modules if name.startswith("aiortc.")))
        """
    )
    assert said.split() == sorted(name.removeprefix("rtcstack.compat.") for name in names)


def test_installing_comes_before_the_library_itself() -> None:
    said = run(
        """
        import sys, types
        sys.modules["aiortc"] = theirs = types.ModuleType("aiortc")
        theirs.__file__ = "/somewhere/aiortc/__init__.py"
        import rtcstack.compat.aiortc
        try:
            rtcstack.compat.aiortc.install()
        except RuntimeError as exc:
            print(exc)
        print(sys.modules["aiortc"] is theirs)
        """
    )
    assert "aiortc has been imported already, from /somewhere/aiortc/__init__.py" in said
    assert said.endswith("True\n")


def test_nothing_of_ours_needs_the_library_itself() -> None:
    said = run(
        """
        import sys
        sys.modules["aiortc"] = None
        import rtcstack.compat.aiortc.contrib.media, rtcstack.compat.aiortc.contrib.signaling
        print("fine")
        """
    )
    assert said == "fine\n"
