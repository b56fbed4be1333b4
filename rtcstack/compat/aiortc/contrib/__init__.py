"""Files, devices, relays and signalling for programs."""
