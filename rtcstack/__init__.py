"""rtcstack: a WebRTC PeerConnection stack for Python.

Everything public is here, under the W3C's names::

    from rtcstack import RTCPeerConnection

Spec: https://www.w3.org/TR/webrtc/
"""

from rtcstack.api.blob import Blob
from rtcstack.api.certificate import RTCCertificate, RTCDtlsFingerprint
from rtcstack.api.configuration import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCRtcpMuxPolicy,
)
from rtcstack.api.connectionevents import RTCDataChannelEvent, RTCTrackEvent
from rtcstack.api.datachannel import RTCDataChannel, RTCDataChannelInit, RTCDataChannelState
from rtcstack.api.description import RTCIceCandidate, RTCSdpType, RTCSessionDescription
from rtcstack.api.dtlstransport import RTCDtlsTransport, RTCDtlsTransportState
from rtcstack.api.dtmf import RTCDTMFSender, RTCDTMFToneChangeEvent
from rtcstack.api.encodedtransform import (
    RTCEncodedAudioFrame,
    RTCEncodedFrameMetadata,
    RTCEncodedVideoFrame,
    RTCRtpScriptTransform,
    RTCRtpScriptTransformer,
)
from rtcstack.api.errorevent import RTCErrorEvent
from rtcstack.api.iceevents import RTCPeerConnectionIceErrorEvent, RTCPeerConnectionIceEvent
from rtcstack.api.icetransport import (
    RTCIceCandidatePair,
    RTCIceGathererState,
    RTCIceParameters,
    RTCIceRole,
    RTCIceTransport,
    RTCIceTransportState,
)
from rtcstack.api.messageevent import MessageEvent
from rtcstack.api.parameters import (
    RTCRtcpParameters,
    RTCRtpCapabilities,
    RTCRtpCodec,
    RTCRtpCodecParameters,
    RTCRtpContributingSource,
    RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiveParameters,
    RTCRtpSendParameters,
    RTCRtpSynchronizationSource,
    RTCRtpTransceiverDirection,
)
from rtcstack.api.peerconnection import RTCPeerConnection, RTCSignalingState
from rtcstack.api.promises import Operation
from rtcstack.api.receiver import RTCRtpReceiver
from rtcstack.api.sctptransport import RTCSctpTransport, RTCSctpTransportState
from rtcstack.api.sender import RTCRtpSender
from rtcstack.api.states import RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState
from rtcstack.api.stats import RTCStatsReport
from rtcstack.api.transceiver import RTCRtpTransceiver, RTCRtpTransceiverInit
from rtcstack.config import AddressRule, IceSettings, MediaSettings, Settings
from rtcstack.errors import (
    DOMException,
    InvalidAccessError,
    InvalidCharacterError,
    InvalidModificationError,
    InvalidStateError,
    NetworkError,
    NotAllowedError,
    NotFoundError,
    NotSupportedError,
    OperationError,
    RTCError,
    UnknownError,
)
from rtcstack.events import Event, EventTarget
from rtcstack.ice import TcpMux, UdpMux
from rtcstack.media.encoded import EncodedMedia
from rtcstack.media.encodedsource import EncodedSource
from rtcstack.media.encoder import MediaEncoder
from rtcstack.media.frames import audio_frame, audio_to_numpy, video_frame, video_to_numpy
from rtcstack.media.player import MediaPlayer, camera, microphone, screen
from rtcstack.media.processed import processed
from rtcstack.media.recorder import MediaRecorder
from rtcstack.media.sinks import CallbackSink, MediaBlackhole, MediaRelay, save_picture
from rtcstack.media.source import TrackSource
from rtcstack.media.stream import MediaStream
from rtcstack.media.testsources import TestPatternSource, ToneSource
from rtcstack.media.track import MediaStreamTrack

__version__ = "0.1.0"

__all__ = [
    "AddressRule",
    "Blob",
    "CallbackSink",
    "DOMException",
    "EncodedMedia",
    "EncodedSource",
    "Event",
    "EventTarget",
    "IceSettings",
    "InvalidAccessError",
    "InvalidCharacterError",
    "InvalidModificationError",
    "InvalidStateError",
    "MediaBlackhole",
    "MediaEncoder",
    "MediaPlayer",
    "MediaRecorder",
    "MediaRelay",
    "MediaSettings",
    "MediaStream",
    "MediaStreamTrack",
    "MessageEvent",
    "NetworkError",
    "NotAllowedError",
    "NotFoundError",
    "NotSupportedError",
    "Operation",
    "OperationError",
    "RTCBundlePolicy",
    "RTCCertificate",
    "RTCConfiguration",
    "RTCDTMFSender",
    "RTCDTMFToneChangeEvent",
    "RTCDataChannel",
    "RTCDataChannelEvent",
    "RTCDataChannelInit",
    "RTCDataChannelState",
    "RTCDtlsFingerprint",
    "RTCDtlsTransport",
    "RTCDtlsTransportState",
    "RTCEncodedAudioFrame",
    "RTCEncodedFrameMetadata",
    "RTCEncodedVideoFrame",
    "RTCError",
    "RTCErrorEvent",
    "RTCIceCandidate",
    "RTCIceCandidatePair",
    "RTCIceConnectionState",
    "RTCIceGathererState",
    "RTCIceGatheringState",
    "RTCIceParameters",
    "RTCIceRole",
    "RTCIceServer",
    "RTCIceTransport",
    "RTCIceTransportPolicy",
    "RTCIceTransportState",
    "RTCPeerConnection",
    "RTCPeerConnectionIceErrorEvent",
    "RTCPeerConnectionIceEvent",
    "RTCPeerConnectionState",
    "RTCRtcpMuxPolicy",
    "RTCRtcpParameters",
    "RTCRtpCapabilities",
    "RTCRtpCodec",
    "RTCRtpCodecParameters",
    "RTCRtpContributingSource",
    "RTCRtpEncodingParameters",
    "RTCRtpHeaderExtensionCapability",
    "RTCRtpHeaderExtensionParameters",
    "RTCRtpReceiveParameters",
    "RTCRtpReceiver",
    "RTCRtpScriptTransform",
    "RTCRtpScriptTransformer",
    "RTCRtpSendParameters",
    "RTCRtpSender",
    "RTCRtpSynchronizationSource",
    "RTCRtpTransceiver",
    "RTCRtpTransceiverDirection",
    "RTCRtpTransceiverInit",
    "RTCSctpTransport",
    "RTCSctpTransportState",
    "RTCSdpType",
    "RTCSessionDescription",
    "RTCSignalingState",
    "RTCStatsReport",
    "RTCTrackEvent",
    "Settings",
    "TcpMux",
    "TestPatternSource",
    "ToneSource",
    "TrackSource",
    "UdpMux",
    "UnknownError",
    "audio_frame",
    "audio_to_numpy",
    "camera",
    "microphone",
    "processed",
    "save_picture",
    "screen",
    "video_frame",
    "video_to_numpy",
]
