"""RTP payload formats: encoded frames to payloads and back. Pure: bytes and values, no state but counters."""
