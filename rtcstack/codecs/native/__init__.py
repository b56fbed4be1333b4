"""The codec libraries that PyAV brings along, called directly: libvpx and libopus.

FFmpeg's wrappers cannot change a running VP8 encoder's bit rate, conceal a lost Opus packet or read
its in-band FEC. The libraries can. Where they cannot be found or their layout is not the one that is
known here, the coders fall back on PyAV.
"""
