"""What is counted, as webrtc-stats names it.

Spec: webrtc-stats.
"""

from rtcstack.connection.stats.statistics import Chosen, statistics

__all__ = ["Chosen", "statistics"]
