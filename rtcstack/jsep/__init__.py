"""Offers and answers: negotiation as a value. Pure functions; no transport, no clock, no socket.

Start at `negotiation` (the state), `session` (what is agreed) and `intents` (what is wanted).
"""

from .answer import create_answer, restarted_transports
from .apply import Advanced, advance, rollback
from .candidates import RemoteCandidate, with_local_candidates, with_remote_candidate
from .codecs import codecs_match, same_codec
from .defaults import default_capabilities
from .diff import diff
from .effects import (
    Effect,
    SectionChanged,
    TransceiverCreated,
    TransceiverRemoved,
    TransceiverStopped,
    TransportAdded,
    TransportChanged,
    TransportRemoved,
)
from .intents import (
    BundlePolicy,
    Capabilities,
    Intents,
    LocalTransport,
    MediaCapabilities,
    SendEncoding,
    TransceiverIntent,
)
from .needed import negotiation_needed
from .negotiation import Description, Negotiation
from .offer import create_offer
from .session import (
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
from .states import SdpType, Side, SignalingState

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
