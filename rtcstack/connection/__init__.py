"""What a connection is and does. Nobody's API: `rtcstack.api` shows it under the W3C's names.

The parts (transports, transceivers, channels, the negotiator) hold what negotiation and media read, take
values that have been checked, and tell observers. None knows an object of the face.
"""
