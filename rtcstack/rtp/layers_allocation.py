"""The video layers allocation: which layers a sender sends, and at which bit rates.

Spec: the header extension video-layers-allocation00 of libwebrtc (docs/native-code/rtp-hdrext).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from rtcstack.errors import ParseError
from rtcstack.rtp.bitfields import BitReader, BitWriter

__all__ = [
    "MAX_SPATIAL_LAYERS",
    "MAX_STREAMS",
    "MAX_TEMPORAL_LAYERS",
    "AllocatedLayer",
    "LayersAllocation",
    "read_layers_allocation",
    "write_layers_allocation",
]

MAX_STREAMS, MAX_SPATIAL_LAYERS, MAX_TEMPORAL_LAYERS = 4, 4, 4

_MAX_KBPS = (1 << 32) - 1

#  +-+-+-+-+-+-+-+-+
#  |RID| NS| sl_bm |  the stream that this is sent on; streams - 1; spatial layers of each stream
#  +-+-+-+-+-+-+-+-+
#  |sl0_bm |sl1_bm |  of each stream, where they differ (sl_bm is 0 then)
#  +-+-+-+-+-+-+-+-+
#  |#tl|#tl|#tl|#tl|  temporal layers - 1, of each spatial layer
#  +-+-+-+-+-+-+-+-+
#  | bit rates     :  kbit/s, of each temporal layer with all that it needs: leb128
#  +-+-+-+-+-+-+-+-+
#  | width - 1, height - 1, frame rate: 16, 16 and 8 bits, of each spatial layer; or of none


@dataclass(frozen=True, slots=True)
class AllocatedLayer:
    """A spatial layer that is sent.

    Attributes:
        stream: of the simulcast, 0 the first.
        spatial_id: 0 the lowest.
        bitrates_bps: of each temporal layer with all that it needs: the temporal layers below it, and
            those spatial ones that it refers to. In steps of 1,000.
        width, height: in pixels, 1 to 65,536; 0 when not told.
        frame_rate: pictures a second, 0 to 255.
    """

    stream: int
    spatial_id: int
    bitrates_bps: tuple[int, ...]
    width: int = 0
    height: int = 0
    frame_rate: int = 0


@dataclass(frozen=True, slots=True)
class LayersAllocation:
    """What is sent.

    Attributes:
        stream: of the simulcast, the one that this was sent on.
        streams: how many there are.
        layers: that are sent, by stream and spatial layer.
    """

    stream: int
    streams: int
    layers: tuple[AllocatedLayer, ...] = ()


def read_layers_allocation(value: bytes) -> LayersAllocation:
    """Read the extension.

    Raises:
        ParseError: cut short, or with bytes behind its end.
    """
    if value == b"\0":
        return LayersAllocation(0, 0)
    bits = BitReader(value)
    stream, streams = bits.take(2), bits.take(2) + 1
    shared = bits.take(4)
    size = 1
    if shared:
        masks = [shared] * streams
    else:
        masks = [bits.take(4) for _ in range(streams)]
        size += (streams + 1) // 2
        if streams % 2:
            bits.take(4)
    places = [
        (i, spatial)
        for i, mask in enumerate(masks)
        for spatial in range(MAX_SPATIAL_LAYERS)
        if mask >> spatial & 1
    ]
    if stream >= streams:
        raise ParseError("layers allocation of a stream that is not there")
    counts = [bits.take(2) + 1 for _ in places]
    size += (len(places) + 3) // 4
    bits.take(-2 * len(places) % 8)
    rates = []
    for count in counts:
        found = []
        for _ in range(count):
            kilobits, octets = _leb128(bits)
            size += octets
            found.append(kilobits * 1000)
        rates.append(tuple(found))
    left = len(value) - size
    if left not in (0, 5 * len(places)):
        raise ParseError("layers allocation of a wrong length")
    layers = []
    for (index, spatial), bitrates in zip(places, rates, strict=True):
        if left:
            width, height, rate = bits.take(16) + 1, bits.take(16) + 1, bits.take(8)
            layers.append(AllocatedLayer(index, spatial, bitrates, width, height, rate))
        else:
            layers.append(AllocatedLayer(index, spatial, bitrates))
    return LayersAllocation(stream, streams, tuple(layers))


def _leb128(bits: BitReader) -> tuple[int, int]:
    value = 0
    for octets in range(1, 6):
        octet = bits.take(8)
        value |= (octet & 0x7F) << 7 * (octets - 1)
        if octet < 0x80:
            return min(value, _MAX_KBPS), octets
    raise ParseError("layers allocation with an endless number")


def write_layers_allocation(allocation: LayersAllocation) -> bytes:
    """The extension's bytes.

    Sizes are written if all layers have one. Rates are rounded down to 1,000 bit/s.
    """
    layers = allocation.layers
    if not layers:
        return b"\0"
    masks = [0] * allocation.streams
    for each in layers:
        masks[each.stream] |= 1 << each.spatial_id
    bits = BitWriter()
    bits.put(2, allocation.stream)
    bits.put(2, allocation.streams - 1)
    if len(list(groupby(masks))) == 1:
        bits.put(4, masks[0])
    else:
        bits.put(4, 0)
        for mask in masks:
            bits.put(4, mask)
        if len(masks) % 2:
            bits.put(4, 0)
    for each in layers:
        bits.put(2, len(each.bitrates_bps) - 1)
    bits.put(-2 * len(layers) % 8, 0)
    for each in layers:
        for bitrate in each.bitrates_bps:
            kilobits = min(bitrate // 1000, _MAX_KBPS)
            while kilobits > 0x7F:
                bits.put(8, kilobits & 0x7F | 0x80)
                kilobits >>= 7
            bits.put(8, kilobits)
    if all(each.width and each.height for each in layers):
        for each in layers:
            bits.put(16, each.width - 1)
            bits.put(16, each.height - 1)
            bits.put(8, min(each.frame_rate, 0xFF))
    return bits.bytes()
