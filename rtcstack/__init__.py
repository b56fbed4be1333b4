"""rtcstack: a WebRTC PeerConnection stack for Python.

Everything public is here, under the W3C's names::

    from rtcstack import RTCPeerConnection

Spec: https://www.w3.org/TR/webrtc/
"""

from typing import TYPE_CHECKING

from rtcstack.lazynames import lazy_names

if TYPE_CHECKING:
    from rtcstack.api.blob import Blob
    from rtcstack.api.candidatepair import RTCIceCandidatePair, RTCIceCandidatePairEvent
    from rtcstack.api.certificate import RTCCertificate, RTCDtlsFingerprint
    from rtcstack.api.configuration import (
        RTCBundlePolicy,
        RTCConfiguration,
        RTCConfigurationTargetLatency,
        RTCIceServer,
        RTCIceTransportPolicy,
        RTCRtcpMuxPolicy,
        RTCRtpHeaderEncryptionPolicy,
    )
    from rtcstack.api.connectionevents import RTCDataChannelEvent, RTCTrackEvent
    from rtcstack.api.datachannel import RTCDataChannel, RTCDataChannelInit, RTCDataChannelState
    from rtcstack.api.description import RTCIceCandidate, RTCSdpType, RTCSessionDescription
    from rtcstack.api.dtlstransport import RTCDtlsTransport, RTCDtlsTransportState
    from rtcstack.api.dtmf import RTCDTMFSender, RTCDTMFToneChangeEvent
    from rtcstack.api.encodedframes import (
        RTCEncodedAudioFrame,
        RTCEncodedAudioFrameMetadata,
        RTCEncodedAudioFrameOptions,
        RTCEncodedFrameMetadata,
        RTCEncodedVideoFrame,
        RTCEncodedVideoFrameMetadata,
        RTCEncodedVideoFrameOptions,
    )
    from rtcstack.api.encodedtransform import RTCRtpScriptTransform, RTCRtpScriptTransformer
    from rtcstack.api.errorevent import RTCErrorEvent
    from rtcstack.api.iceevents import RTCPeerConnectionIceErrorEvent, RTCPeerConnectionIceEvent
    from rtcstack.api.icetransport import (
        RTCIceGathererState,
        RTCIceParameters,
        RTCIceRole,
        RTCIceTransport,
        RTCIceTransportState,
    )
    from rtcstack.api.messageevent import MessageEvent
    from rtcstack.api.parameters import (
        RTCResolutionRestriction,
        RTCRtcpParameters,
        RTCRtpCapabilities,
        RTCRtpCodec,
        RTCRtpCodecCapability,
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
    from rtcstack.api.receiver import RTCRtpReceiver
    from rtcstack.api.sctptransport import RTCSctpTransport, RTCSctpTransportState
    from rtcstack.api.sender import RTCRtpSender
    from rtcstack.api.sframetransform import (
        SFrameCipherSuite,
        SFrameDecrypterStream,
        SFrameEncrypterStream,
        SFrameTransform,
        SFrameTransformErrorEvent,
        SFrameTransformErrorEventType,
        SFrameTransformOptions,
    )
    from rtcstack.api.states import RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState
    from rtcstack.api.stats import RTCStatsReport
    from rtcstack.api.transceiver import RTCRtpTransceiver, RTCRtpTransceiverInit
    from rtcstack.api.transformstreams import KeyFrameRequestEvent
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
        OverconstrainedError,
        RTCError,
        UnknownError,
    )
    from rtcstack.events import Event, EventTarget
    from rtcstack.filetransfer import FileTransfer, receive_file, send_file
    from rtcstack.ice import TcpMux, UdpMux
    from rtcstack.media.audiooutput import AudioOutput
    from rtcstack.media.constraints import (
        MediaTrackCapabilities,
        MediaTrackConstraints,
        MediaTrackSettings,
        MediaTrackSupportedConstraints,
    )
    from rtcstack.media.devices import camera, microphone, screen
    from rtcstack.media.encoded import EncodedMedia
    from rtcstack.media.encodedsource import EncodedSource
    from rtcstack.media.encoder import MediaEncoder
    from rtcstack.media.frames import audio_frame, audio_to_numpy, video_frame, video_planes, video_to_numpy
    from rtcstack.media.player import MediaPlayer
    from rtcstack.media.processed import processed
    from rtcstack.media.recorder import MediaRecorder
    from rtcstack.media.sinks import CallbackSink, MediaBlackhole, MediaRelay, save_picture
    from rtcstack.media.source import TrackSource
    from rtcstack.media.stream import MediaStream
    from rtcstack.media.testsources import TestPatternSource, ToneSource
    from rtcstack.media.track import MediaStreamTrack
    from rtcstack.media.trackgenerator import VideoTrackGenerator
    from rtcstack.media.trackprocessor import MediaStreamTrackProcessor
    from rtcstack.media.trackstats import MediaStreamTrackAudioStats, MediaStreamTrackVideoStats
    from rtcstack.promises import Operation

__version__ = "0.1.0"

__all__ = [
    "AddressRule",
    "AudioOutput",
    "Blob",
    "CallbackSink",
    "DOMException",
    "EncodedMedia",
    "EncodedSource",
    "Event",
    "EventTarget",
    "FileTransfer",
    "IceSettings",
    "InvalidAccessError",
    "InvalidCharacterError",
    "InvalidModificationError",
    "InvalidStateError",
    "KeyFrameRequestEvent",
    "MediaBlackhole",
    "MediaEncoder",
    "MediaPlayer",
    "MediaRecorder",
    "MediaRelay",
    "MediaSettings",
    "MediaStream",
    "MediaStreamTrack",
    "MediaStreamTrackAudioStats",
    "MediaStreamTrackProcessor",
    "MediaStreamTrackVideoStats",
    "MediaTrackCapabilities",
    "MediaTrackConstraints",
    "MediaTrackSettings",
    "MediaTrackSupportedConstraints",
    "MessageEvent",
    "NetworkError",
    "NotAllowedError",
    "NotFoundError",
    "NotSupportedError",
    "Operation",
    "OperationError",
    "OverconstrainedError",
    "RTCBundlePolicy",
    "RTCCertificate",
    "RTCConfiguration",
    "RTCConfigurationTargetLatency",
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
    "RTCEncodedAudioFrameMetadata",
    "RTCEncodedAudioFrameOptions",
    "RTCEncodedFrameMetadata",
    "RTCEncodedVideoFrame",
    "RTCEncodedVideoFrameMetadata",
    "RTCEncodedVideoFrameOptions",
    "RTCError",
    "RTCErrorEvent",
    "RTCIceCandidate",
    "RTCIceCandidatePair",
    "RTCIceCandidatePairEvent",
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
    "RTCResolutionRestriction",
    "RTCRtcpMuxPolicy",
    "RTCRtcpParameters",
    "RTCRtpCapabilities",
    "RTCRtpCodec",
    "RTCRtpCodecCapability",
    "RTCRtpCodecParameters",
    "RTCRtpContributingSource",
    "RTCRtpEncodingParameters",
    "RTCRtpHeaderEncryptionPolicy",
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
    "SFrameCipherSuite",
    "SFrameDecrypterStream",
    "SFrameEncrypterStream",
    "SFrameTransform",
    "SFrameTransformErrorEvent",
    "SFrameTransformErrorEventType",
    "SFrameTransformOptions",
    "Settings",
    "TcpMux",
    "TestPatternSource",
    "ToneSource",
    "TrackSource",
    "UdpMux",
    "UnknownError",
    "VideoTrackGenerator",
    "audio_frame",
    "audio_to_numpy",
    "camera",
    "microphone",
    "processed",
    "receive_file",
    "save_picture",
    "screen",
    "send_file",
    "video_frame",
    "video_planes",
    "video_to_numpy",
]

_HOMES = {
    "AddressRule": "rtcstack.config",
    "Blob": "rtcstack.api.blob",
    "CallbackSink": "rtcstack.media.sinks",
    "DOMException": "rtcstack.errors",
    "EncodedMedia": "rtcstack.media.encoded",
    "EncodedSource": "rtcstack.media.encodedsource",
    "Event": "rtcstack.events",
    "EventTarget": "rtcstack.events",
    "IceSettings": "rtcstack.config",
    "InvalidAccessError": "rtcstack.errors",
    "InvalidCharacterError": "rtcstack.errors",
    "InvalidModificationError": "rtcstack.errors",
    "InvalidStateError": "rtcstack.errors",
    "KeyFrameRequestEvent": "rtcstack.api.transformstreams",
    "MediaBlackhole": "rtcstack.media.sinks",
    "MediaEncoder": "rtcstack.media.encoder",
    "MediaPlayer": "rtcstack.media.player",
    "MediaRecorder": "rtcstack.media.recorder",
    "MediaRelay": "rtcstack.media.sinks",
    "MediaSettings": "rtcstack.config",
    "MediaStream": "rtcstack.media.stream",
    "MediaStreamTrack": "rtcstack.media.track",
    "MediaStreamTrackAudioStats": "rtcstack.media.trackstats",
    "MediaStreamTrackProcessor": "rtcstack.media.trackprocessor",
    "MediaStreamTrackVideoStats": "rtcstack.media.trackstats",
    "MediaTrackCapabilities": "rtcstack.media.constraints",
    "MediaTrackConstraints": "rtcstack.media.constraints",
    "MediaTrackSettings": "rtcstack.media.constraints",
    "MediaTrackSupportedConstraints": "rtcstack.media.constraints",
    "MessageEvent": "rtcstack.api.messageevent",
    "NetworkError": "rtcstack.errors",
    "NotAllowedError": "rtcstack.errors",
    "NotFoundError": "rtcstack.errors",
    "NotSupportedError": "rtcstack.errors",
    "Operation": "rtcstack.promises",
    "OperationError": "rtcstack.errors",
    "OverconstrainedError": "rtcstack.errors",
    "RTCBundlePolicy": "rtcstack.api.configuration",
    "RTCCertificate": "rtcstack.api.certificate",
    "RTCConfiguration": "rtcstack.api.configuration",
    "RTCConfigurationTargetLatency": "rtcstack.api.configuration",
    "RTCDTMFSender": "rtcstack.api.dtmf",
    "RTCDTMFToneChangeEvent": "rtcstack.api.dtmf",
    "RTCDataChannel": "rtcstack.api.datachannel",
    "RTCDataChannelEvent": "rtcstack.api.connectionevents",
    "RTCDataChannelInit": "rtcstack.api.datachannel",
    "RTCDataChannelState": "rtcstack.api.datachannel",
    "RTCDtlsFingerprint": "rtcstack.api.certificate",
    "RTCDtlsTransport": "rtcstack.api.dtlstransport",
    "RTCDtlsTransportState": "rtcstack.api.dtlstransport",
    "RTCEncodedAudioFrame": "rtcstack.api.encodedframes",
    "RTCEncodedAudioFrameMetadata": "rtcstack.api.encodedframes",
    "RTCEncodedAudioFrameOptions": "rtcstack.api.encodedframes",
    "RTCEncodedFrameMetadata": "rtcstack.api.encodedframes",
    "RTCEncodedVideoFrame": "rtcstack.api.encodedframes",
    "RTCEncodedVideoFrameMetadata": "rtcstack.api.encodedframes",
    "RTCEncodedVideoFrameOptions": "rtcstack.api.encodedframes",
    "RTCError": "rtcstack.errors",
    "RTCErrorEvent": "rtcstack.api.errorevent",
    "RTCIceCandidate": "rtcstack.api.description",
    "RTCIceCandidatePair": "rtcstack.api.candidatepair",
    "RTCIceCandidatePairEvent": "rtcstack.api.candidatepair",
    "RTCIceConnectionState": "rtcstack.api.states",
    "RTCIceGathererState": "rtcstack.api.icetransport",
    "RTCIceGatheringState": "rtcstack.api.states",
    "RTCIceParameters": "rtcstack.api.icetransport",
    "RTCIceRole": "rtcstack.api.icetransport",
    "RTCIceServer": "rtcstack.api.configuration",
    "RTCIceTransport": "rtcstack.api.icetransport",
    "RTCIceTransportPolicy": "rtcstack.api.configuration",
    "RTCIceTransportState": "rtcstack.api.icetransport",
    "RTCPeerConnection": "rtcstack.api.peerconnection",
    "RTCPeerConnectionIceErrorEvent": "rtcstack.api.iceevents",
    "RTCPeerConnectionIceEvent": "rtcstack.api.iceevents",
    "RTCPeerConnectionState": "rtcstack.api.states",
    "RTCResolutionRestriction": "rtcstack.api.parameters",
    "RTCRtcpMuxPolicy": "rtcstack.api.configuration",
    "RTCRtpHeaderEncryptionPolicy": "rtcstack.api.configuration",
    "RTCRtcpParameters": "rtcstack.api.parameters",
    "RTCRtpCapabilities": "rtcstack.api.parameters",
    "RTCRtpCodec": "rtcstack.api.parameters",
    "RTCRtpCodecCapability": "rtcstack.api.parameters",
    "RTCRtpCodecParameters": "rtcstack.api.parameters",
    "RTCRtpContributingSource": "rtcstack.api.parameters",
    "RTCRtpEncodingParameters": "rtcstack.api.parameters",
    "RTCRtpHeaderExtensionCapability": "rtcstack.api.parameters",
    "RTCRtpHeaderExtensionParameters": "rtcstack.api.parameters",
    "RTCRtpReceiveParameters": "rtcstack.api.parameters",
    "RTCRtpReceiver": "rtcstack.api.receiver",
    "RTCRtpScriptTransform": "rtcstack.api.encodedtransform",
    "RTCRtpScriptTransformer": "rtcstack.api.encodedtransform",
    "RTCRtpSendParameters": "rtcstack.api.parameters",
    "RTCRtpSender": "rtcstack.api.sender",
    "RTCRtpSynchronizationSource": "rtcstack.api.parameters",
    "RTCRtpTransceiver": "rtcstack.api.transceiver",
    "RTCRtpTransceiverDirection": "rtcstack.api.parameters",
    "RTCRtpTransceiverInit": "rtcstack.api.transceiver",
    "RTCSctpTransport": "rtcstack.api.sctptransport",
    "RTCSctpTransportState": "rtcstack.api.sctptransport",
    "RTCSdpType": "rtcstack.api.description",
    "RTCSessionDescription": "rtcstack.api.description",
    "RTCSignalingState": "rtcstack.api.peerconnection",
    "RTCStatsReport": "rtcstack.api.stats",
    "RTCTrackEvent": "rtcstack.api.connectionevents",
    "SFrameCipherSuite": "rtcstack.api.sframetransform",
    "SFrameDecrypterStream": "rtcstack.api.sframetransform",
    "SFrameEncrypterStream": "rtcstack.api.sframetransform",
    "SFrameTransform": "rtcstack.api.sframetransform",
    "SFrameTransformErrorEvent": "rtcstack.api.sframetransform",
    "SFrameTransformErrorEventType": "rtcstack.api.sframetransform",
    "SFrameTransformOptions": "rtcstack.api.sframetransform",
    "Settings": "rtcstack.config",
    "TcpMux": "rtcstack.ice",
    "TestPatternSource": "rtcstack.media.testsources",
    "ToneSource": "rtcstack.media.testsources",
    "AudioOutput": "rtcstack.media.audiooutput",
    "FileTransfer": "rtcstack.filetransfer",
    "receive_file": "rtcstack.filetransfer",
    "send_file": "rtcstack.filetransfer",
    "TrackSource": "rtcstack.media.source",
    "UdpMux": "rtcstack.ice",
    "UnknownError": "rtcstack.errors",
    "VideoTrackGenerator": "rtcstack.media.trackgenerator",
    "audio_frame": "rtcstack.media.frames",
    "audio_to_numpy": "rtcstack.media.frames",
    "camera": "rtcstack.media.devices",
    "microphone": "rtcstack.media.devices",
    "processed": "rtcstack.media.processed",
    "save_picture": "rtcstack.media.sinks",
    "screen": "rtcstack.media.devices",
    "video_frame": "rtcstack.media.frames",
    "video_planes": "rtcstack.media.frames",
    "video_to_numpy": "rtcstack.media.frames",
}
"""Where each name lives. A module is imported when one of its names is asked for: an application of data
channels alone has no coders, and one that reads descriptions no transports."""

if not TYPE_CHECKING:  # else no misspelt name would be found
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
