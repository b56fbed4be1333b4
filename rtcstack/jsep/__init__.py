"""Offers and answers: negotiation as a value. Pure functions; no transport, no clock, no socket.

Start at `negotiation` (the state), `session` (what is agreed) and `intents` (what is wanted).
"""

from rtcstack.jsep.answer import create_answer, restarted_transports
from rtcstack.jsep.apply import Advanced, advance, rollback
from rtcstack.jsep.candidates import RemoteCandidate, with_local_candidates, with_remote_candidate
from rtcstack.jsep.codecs import codecs_match, same_codec
from rtcstack.jsep.defaults import default_capabilities
from rtcstack.jsep.diff import diff
from rtcstack.jsep.effects import (
    Effect,
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
    "diff",
    "negotiation_needed",
    "restarted_transports",
    "rollback",
    "same_codec",
    "with_local_candidates",
    "with_remote_candidate",
]
