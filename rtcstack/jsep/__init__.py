"""Offers and answers: negotiation as a value. Pure functions; no transport, no clock, no socket.

Start at `negotiation` (the state), `session` (what is agreed) and `intents` (what is wanted).
"""

from typing import TYPE_CHECKING

from rtcstack.lazynames import lazy_names

if TYPE_CHECKING:
    from rtcstack.jsep.altered import take_altered
    from rtcstack.jsep.answer import create_answer, restarted_transports
    from rtcstack.jsep.apply import Advanced, advance, rollback
    from rtcstack.jsep.candidates import RemoteCandidate, with_local_candidates, with_remote_candidate
    from rtcstack.jsep.codecs import codecs_match, same_codec
    from rtcstack.jsep.defaults import default_capabilities
    from rtcstack.jsep.effects import (
        Effect,
        EncodingsAgreed,
        EncodingsProposed,
        SectionChanged,
        TransceiverCreated,
        TransceiverRemoved,
        TransceiverStopped,
        TransportAdded,
        TransportChanged,
        TransportRemoved,
    )
    from rtcstack.jsep.intents import (
        BundlePolicy,
        Capabilities,
        Intents,
        LocalTransport,
        MediaCapabilities,
        SendEncoding,
        TransceiverIntent,
    )
    from rtcstack.jsep.needed import negotiation_needed
    from rtcstack.jsep.negotiation import Description, Negotiation
    from rtcstack.jsep.offer import create_offer
    from rtcstack.jsep.session import (
        Codec,
        CodecFormat,
        DtlsRole,
        HeaderExtension,
        MediaParameters,
        SctpParameters,
        Section,
        Session,
        Source,
        Transport,
        TransportParameters,
    )
    from rtcstack.jsep.states import SdpType, Side, SignalingState

__all__ = [
    "Advanced",
    "BundlePolicy",
    "Capabilities",
    "Codec",
    "CodecFormat",
    "Description",
    "DtlsRole",
    "Effect",
    "EncodingsAgreed",
    "EncodingsProposed",
    "HeaderExtension",
    "Intents",
    "LocalTransport",
    "MediaCapabilities",
    "MediaParameters",
    "Negotiation",
    "RemoteCandidate",
    "SctpParameters",
    "SdpType",
    "Section",
    "SectionChanged",
    "SendEncoding",
    "Session",
    "Side",
    "SignalingState",
    "Source",
    "TransceiverCreated",
    "TransceiverIntent",
    "TransceiverRemoved",
    "TransceiverStopped",
    "Transport",
    "TransportAdded",
    "TransportChanged",
    "TransportParameters",
    "TransportRemoved",
    "advance",
    "codecs_match",
    "create_answer",
    "create_offer",
    "default_capabilities",
    "negotiation_needed",
    "restarted_transports",
    "rollback",
    "same_codec",
    "take_altered",
    "with_local_candidates",
    "with_remote_candidate",
]

_HOMES = {
    "Advanced": "rtcstack.jsep.apply",
    "BundlePolicy": "rtcstack.jsep.intents",
    "Capabilities": "rtcstack.jsep.intents",
    "Codec": "rtcstack.jsep.session",
    "CodecFormat": "rtcstack.jsep.session",
    "Description": "rtcstack.jsep.negotiation",
    "DtlsRole": "rtcstack.jsep.session",
    "Effect": "rtcstack.jsep.effects",
    "EncodingsAgreed": "rtcstack.jsep.effects",
    "EncodingsProposed": "rtcstack.jsep.effects",
    "HeaderExtension": "rtcstack.jsep.session",
    "Intents": "rtcstack.jsep.intents",
    "LocalTransport": "rtcstack.jsep.intents",
    "MediaCapabilities": "rtcstack.jsep.intents",
    "MediaParameters": "rtcstack.jsep.session",
    "Negotiation": "rtcstack.jsep.negotiation",
    "RemoteCandidate": "rtcstack.jsep.candidates",
    "SctpParameters": "rtcstack.jsep.session",
    "SdpType": "rtcstack.jsep.states",
    "Section": "rtcstack.jsep.session",
    "SectionChanged": "rtcstack.jsep.effects",
    "SendEncoding": "rtcstack.jsep.intents",
    "Session": "rtcstack.jsep.session",
    "Side": "rtcstack.jsep.states",
    "SignalingState": "rtcstack.jsep.states",
    "Source": "rtcstack.jsep.session",
    "TransceiverCreated": "rtcstack.jsep.effects",
    "TransceiverIntent": "rtcstack.jsep.intents",
    "TransceiverRemoved": "rtcstack.jsep.effects",
    "TransceiverStopped": "rtcstack.jsep.effects",
    "Transport": "rtcstack.jsep.session",
    "TransportAdded": "rtcstack.jsep.effects",
    "TransportChanged": "rtcstack.jsep.effects",
    "TransportParameters": "rtcstack.jsep.session",
    "TransportRemoved": "rtcstack.jsep.effects",
    "advance": "rtcstack.jsep.apply",
    "codecs_match": "rtcstack.jsep.codecs",
    "create_answer": "rtcstack.jsep.answer",
    "create_offer": "rtcstack.jsep.offer",
    "default_capabilities": "rtcstack.jsep.defaults",
    "negotiation_needed": "rtcstack.jsep.needed",
    "restarted_transports": "rtcstack.jsep.answer",
    "rollback": "rtcstack.jsep.apply",
    "same_codec": "rtcstack.jsep.codecs",
    "take_altered": "rtcstack.jsep.altered",
    "with_local_candidates": "rtcstack.jsep.candidates",
    "with_remote_candidate": "rtcstack.jsep.candidates",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
