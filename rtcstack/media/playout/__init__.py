"""When what was received is heard and seen: one timeline for sound and pictures."""
