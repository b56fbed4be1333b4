"""What a connection is set up with, checked and in the engines' terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rtcstack.config import Settings
from rtcstack.ice import IceConfig
from rtcstack.jsep import BundlePolicy

if TYPE_CHECKING:
    from rtcstack.dtls.certificate import Certificate

__all__ = ["ConnectionConfig"]


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """How a connection is set up.

    Attributes:
        ice: what its agents are made with.
        settings: what lies beyond the W3C.
        bundle_policy: see `BundlePolicy`.
        candidate_pool_size: agents that gather ahead of the first description, 0 to 255.
        always_negotiate_data_channels: offer the data section even without a channel.
        requires_cryptex: descriptions of a peer that does not encrypt RTP's header extensions are refused.
        certificate: what identifies this end; None to make one when it is needed.
    """

    ice: IceConfig
    settings: Settings = field(default_factory=Settings)
    bundle_policy: BundlePolicy = BundlePolicy.BALANCED
    candidate_pool_size: int = 0
    always_negotiate_data_channels: bool = False
    requires_cryptex: bool = False
    certificate: Certificate | None = None
