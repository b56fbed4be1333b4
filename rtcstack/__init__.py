"""rtcstack: a WebRTC PeerConnection stack for Python."""
