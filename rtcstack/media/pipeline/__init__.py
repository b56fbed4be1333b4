"""From tracks to RTP streams and back: encoders, decoders, and the clocks between."""
