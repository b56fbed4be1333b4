"""Who is in which room and what is said to whom: the signalling server without its network.

The messages are described in docs/call-app.md.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from examples.call.names import MAX_NAME, as_name, looks

__all__ = [
    "MAX_CALL_NUMBER",
    "MAX_MEMBERS",
    "MAX_MESSAGE_BYTES",
    "MAX_NAME",
    "MAX_ROOMS",
    "FullError",
    "Line",
    "Member",
    "RefusedError",
    "Rooms",
    "encode",
    "parse",
]

MAX_ROOMS = 1000
MAX_MEMBERS = 50
"""In one room: each coming and going is told to all others."""

MAX_SPELLED = 4 * MAX_NAME
"""Characters of a name as it is sent, with space around it and before it is normalized."""


MAX_MESSAGE_BYTES = 1 << 18
"""Longest message of a member: a description with many media sections fits."""

MAX_CALL_NUMBER = 64
"""Characters of a call's number. Every answer repeats it, so a long one would make each of them too long."""


class RefusedError(Exception):
    """A message that is not obeyed; whoever sent it is told why."""


class FullError(Exception):
    """A message that its receiver has no room for, yet: nothing has been done.

    Attributes:
        line: of the receiver.
        text: what it is to be told.
    """

    def __init__(self, line: Line, text: str) -> None:
        super().__init__("the receiver is slow to read")
        self.line = line
        self.text = text


class Line(Protocol):
    """The way to a member. Only `room` waits."""

    def say(self, text: str) -> None:
        """Send a message."""

    def has_room(self, text: str) -> bool:
        """Whether a message can wait there beside those that do."""

    async def room(self, text: str) -> None:
        """Wait until it can."""

    def drop(self) -> None:
        """End the connection."""


class Member:
    """Somebody in a room.

    Attributes:
        room, name: where, and who.
        token: whoever shows it may take this member's place: the same page after a lost connection.
        busy: whether in a call; the member says so itself.
    """

    __slots__ = ("busy", "line", "name", "room", "token")

    def __init__(self, room: str, name: str, line: Line) -> None:
        self.room = room
        self.name = name
        self.line = line
        self.token = secrets.token_urlsafe(12)
        self.busy = False


class Rooms:
    """All rooms.

    Args:
        ice_servers: RTCIceServer dictionaries, told to everybody who enters.
    """

    def __init__(self, ice_servers: Sequence[Mapping[str, Any]] = ()) -> None:
        self._rooms: dict[str, dict[str, Member]] = {}  # by how the names look
        self._ice_servers = list(ice_servers)

    def __len__(self) -> int:
        return len(self._rooms)

    def enter(self, line: Line, value: Mapping[str, Any]) -> Member:
        """Let somebody in.

        Raises:
            RefusedError: the message is not a "join", or the name or the room is not free.
        """
        if value.get("type") != "join":
            raise RefusedError('the first message must be "join"')
        member = Member(name_in(value, "room"), name_in(value, "name"), line)
        room = self._rooms.get(looks(member.room), {})
        before = room.get(looks(member.name))
        if before is not None:
            token = value.get("token")
            if (
                before.name != member.name
                or not isinstance(token, str)
                or not secrets.compare_digest(token.encode(errors="replace"), before.token.encode())
            ):
                raise RefusedError(f"the name {before.name} is taken")
            member.token, member.busy = before.token, before.busy
        elif len(room) >= MAX_MEMBERS:
            raise RefusedError("the room is full")
        elif not room and len(self._rooms) >= MAX_ROOMS:
            raise RefusedError("there are too many rooms")
        others = [other for other in room.values() if other is not before]
        self._rooms.setdefault(looks(member.room), room)[looks(member.name)] = member
        joined = {
            "type": "joined",
            "room": member.room,
            "name": member.name,
            "members": [other.name for other in others],
            "busy": [other.name for other in others if other.busy],
            "token": member.token,
            "iceServers": self._ice_servers,
        }
        line.say(encode(joined))
        if before is None:
            self._tell(member, {"type": "entered", "name": member.name})
        else:
            before.line.drop()
        return member

    def obey(self, member: Member, value: Mapping[str, Any]) -> None:
        """Do what a member says.

        Raises:
            RefusedError: it makes no sense, or somebody else has this member's place by now.
            FullError: try again when there is room.
        """
        if not self._present(member):
            raise RefusedError("another connection has taken this place")
        match value.get("type"):
            case "signal":
                to = name_in(value, "to")
                call_number_in(value.get("data"))
                target = self._rooms[looks(member.room)].get(looks(to))
                if target is None:
                    raise RefusedError(f"{to} is not here")
                message = {"type": "signal", "from": member.name, "data": value.get("data")}
                text = encode(message)
                if not target.line.has_room(text):
                    raise FullError(target.line, text)
                target.line.say(text)
            case "status":
                busy = value.get("busy")
                if not isinstance(busy, bool):
                    raise RefusedError('"busy" must be true or false')
                if busy is not member.busy:
                    member.busy = busy
                    self._tell(member, {"type": "status", "name": member.name, "busy": busy})
            case _:
                raise RefusedError("unknown type")

    def leave(self, member: Member) -> None:
        """A member's connection has ended; the last one takes the room along."""
        if not self._present(member):
            return  # the same page is back again, and may even have left since
        room = self._rooms[looks(member.room)]
        del room[looks(member.name)]
        if room:
            self._tell(member, {"type": "left", "name": member.name})
        else:
            del self._rooms[looks(member.room)]

    def _present(self, member: Member) -> bool:
        """Whether this is who has the name now."""
        return self._rooms.get(looks(member.room), {}).get(looks(member.name)) is member

    def _tell(self, member: Member, message: Mapping[str, Any]) -> None:
        """Say something to everybody else in the room."""
        text = encode(message)
        for other in self._rooms[looks(member.room)].values():
            if other is not member:
                other.line.say(text)


def parse(text: str) -> dict[str, Any]:
    """A message as an object.

    Raises:
        RefusedError: it is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError("not JSON") from None
    if not isinstance(value, dict):
        raise RefusedError("not an object")
    return value


def encode(message: Mapping[str, Any]) -> str:
    """An object as a message, in as few bytes as there can be: every member pays for them.

    Raises:
        RefusedError: it holds what JSON cannot say. Python reads NaN and 1e999, browsers do not.
    """
    try:
        text = json.dumps(message, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise RefusedError("not JSON") from None
    # half a surrogate pair has no UTF-8, and Python's escape of it is JSON's
    return text.encode(errors="backslashreplace").decode()


def name_in(value: Mapping[str, Any], member: str) -> str:
    """A name in a message, without the space around it."""
    given = value.get(member)
    # what is longer than any name's longest spelling is not worth a look
    if isinstance(given, str) and len(given) <= MAX_SPELLED and (name := as_name(given)):
        return name
    raise RefusedError(f'"{member}" must be a name of 1 to {MAX_NAME} visible characters')


def call_number_in(data: object) -> None:
    """Refuse a signal whose call has a number that is none; what else is in it is the members' affair."""
    number = data.get("call", "") if isinstance(data, dict) else ""
    if not isinstance(number, str) or len(number) > MAX_CALL_NUMBER:
        raise RefusedError(f"a call's number must be a string of at most {MAX_CALL_NUMBER} characters")
