"""What this end can do with the coders that are installed, and what it asks of a peer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from rtcstack.jsep import Capabilities, CodecFormat, default_capabilities
from rtcstack.jsep.intents import MediaCapabilities
from rtcstack.jsep.session import Codec

__all__ = ["can_layer", "capabilities_with", "our_capabilities", "scalability_modes"]


_MEDIA = ("audio", "video")


class _WhenAsked(Mapping[str, MediaCapabilities]):
    """Media by kind, made when somebody asks: connections of data channels alone open no coder."""

    def __init__(self, make: Callable[[], Mapping[str, MediaCapabilities]]) -> None:
        self._make = functools.cache(make)

    def __getitem__(self, kind: str) -> MediaCapabilities:
        if kind not in _MEDIA:  # a section of data channels asks, too
            raise KeyError(kind)
        return self._make()[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make())

    def __len__(self) -> int:
        return len(self._make())


@functools.cache
def our_capabilities() -> Capabilities:
    """What this end can do with the coders that are installed; found out once."""
    return Capabilities(_WhenAsked(lambda: default_capabilities(_can_encode, _can_decode).media))


@functools.lru_cache(maxsize=8)
def capabilities_with(*, stereo: bool, dtx: bool, fec: bool) -> Capabilities:
    """Likewise, with what is asked of a peer's Opus (RFC 7587, section 6.1)."""
    ours = our_capabilities()
    if fec and not stereo and not dtx:
        return ours
    parameters = "minptime=10"
    parameters += ";useinbandfec=1" if fec else ""
    parameters += ";stereo=1;sprop-stereo=1" if stereo else ""
    parameters += ";usedtx=1" if dtx else ""

    def changed(codecs: tuple[Codec, ...]) -> tuple[Codec, ...]:
        return tuple(replace(c, parameters=parameters) if c.name == "opus" else c for c in codecs)

    def make() -> Mapping[str, MediaCapabilities]:
        audio = ours.of("audio")
        audio = replace(audio, send=changed(audio.send), receive=changed(audio.receive))
        return {**ours.media, "audio": audio}

    return replace(ours, media=_WhenAsked(make))


def scalability_modes(codec: CodecFormat, *, send: bool) -> tuple[str, ...] | None:
    """The modes of webrtc-svc that a codec can be sent with, or received; None for what has no pictures."""
    if codec.kind != "video" or codec.is_resiliency:
        return None
    from rtcstack.codecs import registry

    return registry.scalability_modes(codec.name) if send else registry.received_scalability_modes(codec.name)


def can_layer(mode: str, codec: str | None = None) -> bool:
    """Whether a scalability mode can be sent with a codec, by its name in lower case, or with any."""
    from rtcstack.codecs import registry

    names = {each.name for each in our_capabilities().of("video").send} if codec is None else {codec}
    return any(mode in registry.scalability_modes(name) for name in names)


def _can_encode(codec: CodecFormat) -> bool:
    from rtcstack.codecs import registry

    return registry.can_encode(codec.name, codec.fmtp)


def _can_decode(codec: CodecFormat) -> bool:
    from rtcstack.codecs import registry

    return registry.can_decode(codec.name, codec.fmtp)
