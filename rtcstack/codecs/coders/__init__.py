"""Encoders and decoders: frames of PyAV to encoded bytes and back.

They block while they work: `rtcstack.codecs.pool` has workers run them.
"""
