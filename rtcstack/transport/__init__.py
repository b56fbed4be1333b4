"""Where the engines meet the loop: one pump for each transport."""

from rtcstack.transport.observer import TransportObserver
from rtcstack.transport.transport import Transport

__all__ = ["Transport", "TransportObserver"]
