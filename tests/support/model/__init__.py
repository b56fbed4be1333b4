"""webrtc-pc's algorithms as an executable specification: what a connection's slots are after each call.

Written from the text, step by step, and from nothing of the package: no SDP parser, no negotiation, no
states of it. What an implementation is free in (the text of descriptions) is read from what it made, and is
checked as far as RFC 9429 says what has to be there. `tests/properties` runs it beside two connections.
"""
