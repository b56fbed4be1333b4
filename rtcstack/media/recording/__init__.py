"""Parts of `rtcstack.media.recorder`: what waits, and how it comes into a file."""
