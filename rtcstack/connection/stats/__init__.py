"""What is counted, as webrtc-stats names it.

Spec: webrtc-stats.
"""

from rtcstack.connection.stats.statistics import Chosen, Statistics

__all__ = ["Chosen", "Statistics"]
