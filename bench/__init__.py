"""rtcstack measured beside other stacks, in interleaved rounds on the same machine."""
