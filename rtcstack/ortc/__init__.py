"""What the W3C's API does not have: transports that an application starts by itself.

    from rtcstack.ortc import RTCIceGatherer, RTCIceTransport

Spec: ORTC; webrtc-ice.
"""

from rtcstack.ortc.icegatherer import RTCIceGatherer
from rtcstack.ortc.icetransport import RTCIceTransport

__all__ = ["RTCIceGatherer", "RTCIceTransport"]
