"""The transports of a connection by the key that the negotiation gives them.

Spec: webrtc-pc, section 4.3 (the connection's states are sums of its transports').
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rtcstack.connection.config import ConnectionConfig
from rtcstack.connection.transportentry import (
    PathObserver,
    TransportEntry,
    TransportSetObserver,
    random_credentials,
)
from rtcstack.connection.transportpool import AgentPool
from rtcstack.network import network, network_here
from rtcstack.platform import Watch

if TYPE_CHECKING:
    from rtcstack.dtls.certificate import Certificate
    from rtcstack.ice import AnyIceAgent

__all__ = ["TransportSet"]

logger = logging.getLogger("rtcstack.transports")


class TransportSet:
    """Makes, keeps and drops the transports of a connection.

    Args:
        config: of the connection; may be replaced.
        observer: who is told of candidates, channels, and a peer that leaves.
        paths: who is told how the transports are.
        defer: runs a function after the operation in progress has been answered.
    """

    def __init__(
        self,
        config: ConnectionConfig,
        observer: TransportSetObserver,
        paths: PathObserver,
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        self.config = config
        self.observer = observer
        self.paths = paths
        self.defer = defer
        self.network = network_here()
        """What the connection is on, wherever it is used: where it was made. None for this machine's."""
        ice = config.settings.ice
        self.first_credentials = random_credentials()
        if ice.ufrag is not None and ice.password is not None:
            self.first_credentials = ice.ufrag, ice.password
        """Of the first generation of every transport. Bundling moves sections between transports;
        with credentials of its own each move would look like an ICE restart (and Firefox refuses
        one of only some sections). What tells the transports apart is their sockets."""
        self._certificate: Certificate | None = None
        self._entries: dict[str, TransportEntry] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._pool = AgentPool(self.network, self.first_credentials, self._released)
        self._watch: Watch | None = None
        self._closed = False
        self.ended: tuple[TransportEntry, ...] = ()
        """Those that were in use when the connection was closed, for statistics."""
        self.is_changing = False
        self.fill_pool()

    def fill_pool(self) -> None:
        """Gather ahead with as many agents as `iceCandidatePoolSize` says (webrtc-pc, 4.4.1.7)."""
        self._pool.fill(self.config.candidate_pool_size - len(self._entries), self.config.ice)

    def take_agent(self) -> AnyIceAgent | None:
        """See `TransportOwner`."""
        return self._pool.take()

    def start(self) -> None:
        """See `TransportOwner`."""
        self._pool.empty()
        self._watch_network()

    def _watch_network(self) -> None:
        """Listen for changes of the machine's addresses, if the settings ask for it."""
        if self._closed or self._watch is not None:
            return
        if self.config.settings.ice.restart_on_network_change:
            try:
                self._watch = (self.network or network()).watch(self.paths.on_network_change)
            except Exception as exc:  # of a network that the application has installed
                logger.error("changes of the machine's addresses will not be heard of: %r", exc)

    def _released(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    @property
    def certificate(self) -> Certificate:
        """What identifies this end; generated when it is first needed and none was given."""
        if self._certificate is None:
            from rtcstack.dtls.certificate import Certificate

            self._certificate = self.config.certificate or Certificate.usual()
        return self._certificate

    def __iter__(self) -> Iterator[TransportEntry]:
        """The transports in use."""
        return (entry for entry in self._entries.values() if entry.in_use)

    def get(self, key: str | None) -> TransportEntry | None:
        """The transport in use with this key."""
        entry = None if key is None else self._entries.get(key)
        return entry if entry is not None and entry.in_use else None

    def prepare(self, key: str) -> TransportEntry:
        """The transport with this key; made, without any socket yet, when there is none."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = TransportEntry(self, key)
        return entry

    def propose(self, key: str, *, controlling: bool) -> TransportEntry:
        """The transport that a section will use if its offer is answered; nothing is begun on it.

        Args:
            key: of the transport.
            controlling: our ICE role, unless it is known.
        """
        entry = self.prepare(key)
        entry.propose(controlling=controlling)
        return entry

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """While a description is applied, whatever becomes of it."""
        self.is_changing = True
        for entry in self._entries.values():
            entry.change(begins=True)
        try:
            yield
        finally:
            self.is_changing = False
            for entry in self._entries.values():
                entry.change(begins=False)

    def remove(self, key: str) -> None:
        """Close a transport that no section uses any longer."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._released(entry.abandon())

    def close(self) -> set[asyncio.Task[None]]:
        """Close all.

        Returns:
            The tasks that end when every socket is released.
        """
        if not self._closed:
            self.ended = tuple(self)
        self._closed = True
        self._pool.empty()
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        for key in list(self._entries):
            self.remove(key)
        return set(self._closing)
