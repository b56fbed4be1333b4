"""What the public objects show: the W3C's members, and ours beyond them. One place to read, nothing else.

Spec: webrtc-pc, webrtc-extensions, webrtc-encoded-transform, webrtc-priority.
"""

from __future__ import annotations

import enum
import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import rtcstack
from rtcstack import ortc
from rtcstack.events import Event, EventTarget

EVENT_TARGET = """
    addEventListener removeEventListener dispatchEvent
    | on once emit listeners event_names add_listener remove_listener remove_all_listeners listens_to
      has_listeners
"""
"""Before the bar what the DOM has; behind it pyee's face, and one of ours."""

INTERFACES = {
    "RTCPeerConnection": """
        createOffer createAnswer setLocalDescription setRemoteDescription addIceCandidate
        localDescription currentLocalDescription pendingLocalDescription
        remoteDescription currentRemoteDescription pendingRemoteDescription
        signalingState iceGatheringState iceConnectionState connectionState canTrickleIceCandidates
        restartIce getConfiguration setConfiguration generateCertificate close
        addTrack removeTrack addTransceiver getSenders getReceivers getTransceivers
        sctp createDataChannel getStats
        onnegotiationneeded onicecandidate onicecandidateerror onsignalingstatechange
        oniceconnectionstatechange onicegatheringstatechange onconnectionstatechange ontrack ondatachannel
        | gathered onpeerleft onerror
    """,
    "RTCDataChannel": """
        label ordered maxPacketLifeTime maxRetransmits protocol negotiated id readyState
        bufferedAmount bufferedAmountLowThreshold binaryType priority send close
        onopen onbufferedamountlow onerror onclosing onclose onmessage
        | drain send_async opened streams unheard
    """,
    "RTCSctpTransport": "transport state maxMessageSize maxChannels onstatechange",
    "RTCDtlsTransport": "iceTransport state getRemoteCertificates onstatechange onerror",
    "RTCIceTransport": """
        role component state gatheringState getLocalCandidates getRemoteCandidates
        getSelectedCandidatePair getLocalParameters getRemoteParameters
        selectCandidatePair removeCandidatePair
        onstatechange ongatheringstatechange onselectedcandidatepairchange
        onicecandidatepairadd onicecandidatepairremove onicecandidatepairnominate
    """,
    "RTCRtpTransceiver": """
        mid sender receiver direction currentDirection rtpHeaderEncryptionNegotiated stop setCodecPreferences
        getHeaderExtensionsToNegotiate setHeaderExtensionsToNegotiate getNegotiatedHeaderExtensions
        | kind
    """,
    "RTCRtpSender": """
        track transport dtmf transform getCapabilities getParameters setParameters replaceTrack setStreams
        generateKeyFrame getStats
        | sendPackets onerror onkeyframerequest
    """,
    "RTCRtpReceiver": """
        track transport transform jitterBufferTarget getCapabilities getParameters getStats
        getContributingSources getSynchronizationSources
        onssrcchange oncsrcchange
        | encodedTrack simulcastTracks headerExtensionIds setPacketSink requestKeyFrame onerror
    """,
    "RTCDTMFSender": "insertDTMF canInsertDTMF toneBuffer ontonechange",
    "RTCCertificate": "expires getFingerprints | fromPEM toPEM",
    "RTCSessionDescription": "type sdp toJSON",
    "RTCIceCandidate": """
        candidate sdpMid sdpMLineIndex foundation component priority address protocol port type tcpType
        relatedAddress relatedPort usernameFragment relayProtocol url toJSON
    """,
    "RTCStatsReport": "entries forEach get has keys size values | items of_type toJSON",
    "RTCRtpScriptTransform": "| failures",
    "SFrameTransform": "setEncryptionKey onerror | failures",
    "SFrameEncrypterStream": "setEncryptionKey onerror | failures",
    "SFrameDecrypterStream": "setEncryptionKey onerror | failures",
    "SFrameTransformErrorEvent": "errorType keyID frame",
    "RTCRtpScriptTransformer": "generateKeyFrame sendKeyFrameRequest onkeyframerequest",
    "RTCEncodedVideoFrame": "type data getMetadata",
    "RTCEncodedAudioFrame": "data getMetadata",
    "KeyFrameRequestEvent": "rid | cancelable defaultPrevented preventDefault",
    "RTCIceCandidatePair": "local remote",
    "RTCIceCandidatePairEvent": "candidatePair | cancelable defaultPrevented preventDefault",
    "RTCPeerConnectionIceEvent": "candidate url",
    "RTCPeerConnectionIceErrorEvent": "address port url errorCode errorText",
    "RTCTrackEvent": "receiver track streams transceiver",
    "RTCDataChannelEvent": "channel",
    "RTCErrorEvent": "error",
    "RTCDTMFToneChangeEvent": "tone",
    "MessageEvent": "data",
    "Event": "type target currentTarget timeStamp",
    "EventTarget": EVENT_TARGET,
}
"""Each interface: the W3C's members | ours."""

DICTIONARIES = {
    "RTCConfiguration": """
        iceServers iceTransportPolicy bundlePolicy rtcpMuxPolicy certificates iceCandidatePoolSize
        alwaysNegotiateDataChannels targetLatency rtpHeaderEncryptionPolicy | settings
    """,
    "RTCIceServer": "urls username credential",
    "RTCDataChannelInit": "ordered maxPacketLifeTime maxRetransmits protocol negotiated id priority",
    "RTCRtpTransceiverInit": "direction streams sendEncodings",
    "RTCRtpEncodingParameters": """
        rid active codec maxBitrate maxFramerate scaleResolutionDownBy priority networkPriority
        scalabilityMode adaptivePtime scaleResolutionDownTo ptime
    """,
    "RTCResolutionRestriction": "maxWidth maxHeight",
    "RTCRtpSendParameters": "transactionId encodings codecs headerExtensions rtcp degradationPreference",
    "RTCRtpReceiveParameters": "codecs headerExtensions rtcp",
    "RTCRtpCodec": "mimeType clockRate channels sdpFmtpLine",
    "RTCRtpCodecCapability": "mimeType clockRate channels sdpFmtpLine | scalabilityModes",
    "RTCRtpCodecParameters": "payloadType mimeType clockRate channels sdpFmtpLine",
    "RTCRtpCapabilities": "codecs headerExtensions",
    "RTCRtpHeaderExtensionCapability": "uri direction",
    "RTCRtpHeaderExtensionParameters": "uri id encrypted",
    "RTCRtcpParameters": "cname reducedSize",
    "RTCRtpContributingSource": (
        "timestamp source audioLevel rtpTimestamp captureTimestamp senderCaptureTimeOffset"
    ),
    "RTCRtpSynchronizationSource": (
        "timestamp source audioLevel rtpTimestamp captureTimestamp senderCaptureTimeOffset voiceActivityFlag"
    ),
    "RTCIceParameters": "usernameFragment password",
    "RTCDtlsFingerprint": "algorithm value",
    "RTCEncodedFrameMetadata": """
        synchronizationSource payloadType contributingSources rtpTimestamp receiveTime captureTime
        senderCaptureTimeOffset mimeType | rid
    """,
    "RTCEncodedVideoFrameMetadata": """
        synchronizationSource payloadType contributingSources rtpTimestamp receiveTime captureTime
        senderCaptureTimeOffset mimeType frameId dependencies width height spatialIndex temporalIndex
        timestamp | rid
    """,
    "RTCEncodedAudioFrameMetadata": """
        synchronizationSource payloadType contributingSources rtpTimestamp receiveTime captureTime
        senderCaptureTimeOffset mimeType sequenceNumber audioLevel | rid
    """,
    "SFrameTransformOptions": "cipherSuite",
    "RTCEncodedVideoFrameOptions": "metadata",
    "RTCEncodedAudioFrameOptions": "metadata",
}
"""Each dictionary: the W3C's members | ours."""

ENUMERATIONS = {
    "RTCSignalingState": "stable have-local-offer have-remote-offer have-local-pranswer have-remote-pranswer "
    "closed",
    "RTCIceGatheringState": "new gathering complete",
    "RTCPeerConnectionState": "closed failed disconnected new connecting connected",
    "RTCIceConnectionState": "closed failed disconnected new checking completed connected",
    "RTCSdpType": "offer pranswer answer rollback",
    "RTCBundlePolicy": "balanced max-compat max-bundle",
    "RTCRtcpMuxPolicy": "require",
    "RTCRtpHeaderEncryptionPolicy": "negotiate require",
    "RTCConfigurationTargetLatency": "lowest none",
    "RTCIceTransportPolicy": "relay all",
    "RTCRtpTransceiverDirection": "sendrecv sendonly recvonly inactive stopped",
    "RTCDtlsTransportState": "new connecting connected closed failed",
    "RTCIceTransportState": "new checking connected completed disconnected failed closed",
    "RTCIceGathererState": "new gathering complete | closed",
    "RTCIceRole": "unknown controlling controlled",
    "RTCSctpTransportState": "connecting connected closed",
    "RTCDataChannelState": "connecting open closing closed",
    "SFrameCipherSuite": """
        AES_128_CTR_HMAC_SHA256_80 AES_128_CTR_HMAC_SHA256_64 AES_128_CTR_HMAC_SHA256_32
        AES_128_GCM_SHA256_128 AES_256_GCM_SHA512_128
    """,
    "SFrameTransformErrorEventType": "authentication keyID syntax",
}
"""Each enumeration: the W3C's values | ours (ORTC's)."""

BEYOND = """
    Settings IceSettings MediaSettings AddressRule TcpMux UdpMux Operation Blob
    DOMException InvalidAccessError InvalidCharacterError InvalidModificationError InvalidStateError
    NetworkError NotAllowedError NotFoundError NotSupportedError OperationError
    OverconstrainedError RTCError UnknownError
    MediaTrackCapabilities MediaTrackConstraints MediaTrackSettings MediaTrackSupportedConstraints
    MediaStreamTrackProcessor VideoTrackGenerator MediaStreamTrackAudioStats MediaStreamTrackVideoStats
    MediaStream MediaStreamTrack MediaPlayer MediaRecorder MediaRelay MediaBlackhole MediaEncoder
    FileTransfer send_file receive_file
    AudioOutput CallbackSink EncodedMedia EncodedSource TrackSource TestPatternSource ToneSource
    audio_frame audio_to_numpy video_frame video_planes video_to_numpy
    processed save_picture camera microphone screen
"""
"""What else the package has: settings, errors, and media (which mediacapture-main leaves to the platform)."""


def names(text: str) -> set[str]:
    return set(text.replace("|", " ").split())


def shown(cls: type) -> set[str]:
    """What `dir` shows of an object of the class, without what its base shows."""
    found = {name for name in dir(cls) if not name.startswith("_")}
    for base in (EventTarget, Event):
        if issubclass(cls, base) and cls is not base:
            found -= set(dir(base))
    return found


@pytest.mark.parametrize("name", INTERFACES)
def test_interfaces(name: str) -> None:
    assert shown(getattr(rtcstack, name)) == names(INTERFACES[name])


@pytest.mark.parametrize("name", [name for name in INTERFACES if not name.endswith("Event")])
def test_objects_have_no_more_than_their_classes(name: str) -> None:
    """What a constructor sets counts as well."""
    source = inspect.getsource(getattr(rtcstack, name))
    set_in_methods = set(re.findall(r"\bself\.([a-zA-Z]\w*)(?:: [^=\n]+)? = ", source))
    attributes = {"options", "readable", "writable"}  # of transformers and streams
    assert set_in_methods <= names(INTERFACES[name]) | attributes


@pytest.mark.parametrize("name", DICTIONARIES)
def test_dictionaries(name: str) -> None:
    cls = getattr(rtcstack, name)
    assert is_dataclass(cls)
    assert {field.name for field in fields(cls)} == names(DICTIONARIES[name])


@pytest.mark.parametrize("name", ENUMERATIONS)
def test_enumerations(name: str) -> None:
    cls = getattr(rtcstack, name)
    assert issubclass(cls, enum.Enum)
    assert {str(member) for member in cls} == names(ENUMERATIONS[name])


def test_the_package() -> None:
    known = names(BEYOND) | INTERFACES.keys() | DICTIONARIES.keys() | ENUMERATIONS.keys()
    assert set(rtcstack.__all__) == known
    assert sorted(rtcstack.__all__) == list(rtcstack.__all__)


def test_what_starts_by_itself() -> None:
    assert shown(ortc.RTCIceGatherer) == names(
        """component state gather getLocalParameters getLocalCandidates close
        onicecandidate onicecandidateerror onstatechange"""
    )
    assert shown(ortc.RTCIceTransport) == names(INTERFACES["RTCIceTransport"]) | names(
        "iceGatherer start restart addRemoteCandidate send stop onmessage"
    )


def test_the_reference_documentation_shows_the_same() -> None:
    text = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    documented = re.findall(r"auto(?:class|function|exception|data):: rtcstack\.(\w+)$", text, re.MULTILINE)
    assert sorted(documented) == sorted(set(documented))
    assert set(documented) == set(rtcstack.__all__)
