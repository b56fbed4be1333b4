"""Where the engines meet the loop: one pump for each transport."""

from rtcstack.transport.transport import Transport, TransportObserver

__all__ = ["Transport", "TransportObserver"]
