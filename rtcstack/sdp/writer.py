"""Values to text. What the parser read from canonical text is written back byte for byte."""

from __future__ import annotations

from rtcstack.sdp.model import Bandwidth, Connection, MediaDescription, SessionDescription

__all__ = ["write_session"]


def write_session(description: SessionDescription) -> str:
    """The text of `description`, in the order of RFC 8866, section 5, each line ended by CRLF."""
    origin = description.origin
    lines = [
        "v=0",
        f"o={origin.username} {origin.session_id} {origin.session_version}"
        f" {origin.network_type} {origin.address_type} {origin.address}",
        f"s={description.name}",
    ]
    if description.information is not None:
        lines.append(f"i={description.information}")
    if description.uri is not None:
        lines.append(f"u={description.uri}")
    lines += [f"e={email}" for email in description.emails]
    lines += [f"p={phone}" for phone in description.phones]
    if description.connection is not None:
        lines.append(_connection(description.connection))
    lines += map(_bandwidth, description.bandwidths)
    for timing in description.times:
        lines.append(f"t={timing.start} {timing.stop}")
        lines += [f"r={repeat}" for repeat in timing.repeats]
    if description.time_zones is not None:
        lines.append(f"z={description.time_zones}")
    if description.key is not None:
        lines.append(f"k={description.key}")
    lines += [f"a={attribute}" for attribute in description.attributes]
    for media in description.media:
        lines += _media(media)
    lines.append("")
    return "\r\n".join(lines)


def _media(media: MediaDescription) -> list[str]:
    port = f"{media.port}" if media.port_count is None else f"{media.port}/{media.port_count}"
    lines = [f"m={media.kind} {port} {media.protocol} {' '.join(media.formats)}"]
    if media.information is not None:
        lines.append(f"i={media.information}")
    lines += map(_connection, media.connections)
    lines += map(_bandwidth, media.bandwidths)
    if media.key is not None:
        lines.append(f"k={media.key}")
    lines += [f"a={attribute}" for attribute in media.attributes]
    return lines


def _connection(connection: Connection) -> str:
    return f"c={connection.network_type} {connection.address_type} {connection.address}"


def _bandwidth(bandwidth: Bandwidth) -> str:
    return f"b={bandwidth.type}:{bandwidth.value}"
