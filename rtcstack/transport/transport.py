"""One transport: an ICE path, DTLS over it, SCTP over that and media beside it, driven by one pump.

One question: what happens in a pass, and in which order? A pass is one wake-up of the loop with one
reading of the clock: what the socket had is pushed up through the engines, what they want sent is
collected once, the one timer is set anew if its deadline moved forward, and last, on consistent
state, the observer hears what happened. What the observer sends while it hears leaves in the same
pass.

No task, future or queue is made for a packet.

An exception inside an engine is a fault of ours, and costs that engine alone: media of this
transport, its association, or DTLS and with it the transport. The observer hears why, the rest of
the pass is done, and the loop goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from enum import Enum
from typing import TYPE_CHECKING, ParamSpec

from rtcstack.clock import monotonic
from rtcstack.dtls.certificate import Certificate
from rtcstack.dtls.engine import DtlsEngine
from rtcstack.dtls.events import DtlsClosed, DtlsConnected, DtlsEvent, DtlsFailed, DtlsRole, DtlsState
from rtcstack.dtls.fingerprint import Fingerprint
from rtcstack.engine import Run
from rtcstack.errors import ProtocolError
from rtcstack.ice import (
    Address,
    AnyIceAgent,
    GatheringState,
    IceConfig,
    IceServer,
    IceState,
    PairNews,
    PairView,
    make_agent,
)
from rtcstack.platform import Network, installed
from rtcstack.sctp.association import AssociationState
from rtcstack.sctp.channels import DataChannels
from rtcstack.sctp.events import AssociationClosed
from rtcstack.sdp.candidate import Candidate
from rtcstack.transport import memory
from rtcstack.transport.observer import TransportObserver
from rtcstack.transport.sharing import Sharing

if TYPE_CHECKING:
    from rtcstack.rtp.bwe.estimator import BandwidthEstimator
    from rtcstack.transport.mediapath import MediaPath

__all__ = ["Transport"]

logger = logging.getLogger("rtcstack.transport")

P = ParamSpec("P")

MAX_TELLINGS_PER_PASS = 4
"""Times that handlers may answer what their answers caused; then the loop gets its turn."""

FULL_BATCH = 32
"""A drain of at least so many packets may have left more behind."""

MAX_ROUNDS_PER_PASS = 16
"""Batches that one pass sends before the loop gets its turn; the rest follows at once after it."""

MAX_FAULTS_PER_PASS = 4
"""Engines that one pass may end: all that there are."""


class _Part(Enum):
    """Whose code is running: what a fault in it ends."""

    DTLS = "DTLS"
    CHANNELS = "SCTP"
    MEDIA = "RTP"
    ICE = "ICE"


class Transport:
    """One ICE and DTLS path and what runs over it. Also ICE's observer.

    Args:
        ice_config: settings of the ICE agent.
        certificate: what identifies this end.
        observer: who is told.
        keylog_path: see `DtlsEngine`.
        ufrag, pwd: local ICE credentials, or None for random ones.
        ice: an agent that has begun to gather, instead of a new one.
        network: see `make_agent`.
    """

    def __init__(
        self,
        ice_config: IceConfig,
        certificate: Certificate,
        observer: TransportObserver,
        *,
        keylog_path: str | None = None,
        ufrag: str | None = None,
        pwd: str | None = None,
        ice: AnyIceAgent | None = None,
        network: Network | None = None,
    ) -> None:
        self.certificate = certificate
        self._keylog_path = keylog_path
        self.observer = observer
        self.ice = ice or make_agent(ice_config, self, ufrag=ufrag, pwd=pwd, network=network)
        self.ice.observer = self
        self.dtls = DtlsEngine(certificate, keylog_path=keylog_path)
        self.refusals = self.dtls.refusals = self.ice.refusals
        """What was refused of the peer's packets, by whichever engine."""
        self.channels: DataChannels | None = None
        self.closed = False
        self.media: MediaPath | None = None
        self._encrypts_headers = self._requires_cryptex = False
        self._sharing = Sharing()
        self._dtls_wanted: tuple[DtlsRole, tuple[Fingerprint, ...]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._in_pass = False
        own = installed()
        self._inspector = None if own is None else own.inspector
        self._at = _Part.DTLS
        self._dirty = False
        self._flush_pending = False
        self._media_flush_pending = False
        self.after_pass: Callable[[], None] | None = None
        """Called at the end of each pass while somebody waits for the send queue to shrink."""

    @property
    def is_flush_pending(self) -> bool:
        """Whether another pass follows at once."""
        return self._flush_pending or self._media_flush_pending

    @property
    def armed_for(self) -> float | None:
        """When the timer rings; None if it is not set."""
        return None if self._timer is None else self._timer_due

    # -- set-up -----------------------------------------------------------------------------------

    def start_dtls(self, role: DtlsRole, fingerprints: Iterable[Fingerprint]) -> None:
        """Let the handshake begin as soon as there is a path. Only the first call counts.

        Args:
            role: this end's role.
            fingerprints: the peer's.
        """
        if self._dtls_wanted is None:
            self._dtls_wanted = (role, tuple(fingerprints))
            self._maybe_start_dtls()

    def restart_dtls(self, role: DtlsRole, fingerprints: Iterable[Fingerprint]) -> None:
        """The peer is another, or wants another connection of DTLS: begin anew, as soon as there is a path.

        Media waits for the new keys. An association that has begun cannot go on, and ends with an error. The
        peer of before is told nothing: there is no path to it any more.

        Args:
            role, fingerprints: see `start_dtls`.

        Spec: RFC 9429, section 5.11; RFC 8842, section 3.1.
        """
        if self.closed:
            return
        now = monotonic()
        was_new = self.dtls.state is DtlsState.NEW
        try:
            if self.channels is not None and self.channels.association.state is not AssociationState.NEW:
                reason = "the peer's DTLS connection was replaced by another"
                self._lose_channels(now, reason, ProtocolError(reason))
        except Exception as exc:  # a fault of ours: see the module's text
            self._end_part(_Part.CHANNELS, exc, now)
        self.dtls = DtlsEngine(self.certificate, keylog_path=self._keylog_path)
        self.dtls.refusals = self.refusals
        if self.media is not None:
            self.media.disconnect()
        self._dtls_wanted = (role, tuple(fingerprints))
        if not was_new:
            self._told(self.observer.on_dtls_state, DtlsState.NEW, None)
        self._maybe_start_dtls()
        self.wake()

    def attach_channels(self, channels: DataChannels) -> None:
        """Run data channels over this transport; they connect once DTLS does."""
        self.channels = channels
        channels.association.refusals = self.refusals
        if self.dtls.state is DtlsState.CONNECTED:
            channels.connect(monotonic())
            self.wake()

    def attach_media(self, make_estimator: Callable[[], BandwidthEstimator] | None = None) -> MediaPath:
        """Run media over this transport; it flows once DTLS has connected. Only the first call counts.

        Args:
            make_estimator: see `RtpSession`.
        """
        if self.media is None:
            from rtcstack.transport.mediapath import MediaPath

            self.media = MediaPath(make_estimator, self.refusals)
            self.media.encrypt_headers(self._encrypts_headers, required=self._requires_cryptex)
            if self._inspector is not None:
                self.media.inspector = self._inspector, self.ice.name
            self._connect_media(monotonic())
        return self.media

    def encrypt_headers(self, wanted: bool, *, required: bool) -> None:
        """Whether RTP's header extensions are encrypted, as it was negotiated; see `MediaPath`."""
        self._encrypts_headers, self._requires_cryptex = wanted, required
        if self.media is not None:
            self.media.encrypt_headers(wanted, required=required)

    def _connect_media(self, now: float) -> None:
        keys = self.dtls.srtp_keys
        if self.media is not None and keys is not None and self.dtls.state is DtlsState.CONNECTED:
            self.media.connect(keys, now)
            self.wake()

    def _maybe_start_dtls(self) -> None:
        if (
            self._dtls_wanted is None
            or self.dtls.state is not DtlsState.NEW
            or self.ice.state not in (IceState.CONNECTED, IceState.COMPLETED)
        ):
            return
        role, fingerprints = self._dtls_wanted
        if self.ice.rtt_s is not None:
            self.dtls.rtt_s = self.ice.rtt_s
        now = monotonic()
        self.observer.on_dtls_state(DtlsState.CONNECTING, None)
        if self.closed:
            return  # by a handler of that event
        try:
            self.dtls.start(role, fingerprints, now)
        except Exception as exc:  # a fault of ours: see the module's text
            self._end_part(_Part.DTLS, exc, now)
        self.wake()

    # -- the pump ---------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something was enqueued: flush it soon, once. Safe to call any number of times."""
        if self._in_pass:
            self._dirty = True
        elif not self.closed:
            self._flush_later()

    def wake_media(self) -> None:
        """The same, for media alone: a pass that need not look at DTLS and what runs over it."""
        if (
            not self._in_pass
            and not self.closed
            and not self._flush_pending
            and not self._media_flush_pending
        ):
            self._media_flush_pending = True
            self._get_loop().call_soon(self._flush_media_soon)

    def _flush_media_soon(self) -> None:
        self._media_flush_pending = False
        media = self.media
        if self.closed or media is None:
            return
        self._in_pass = True
        now = monotonic()
        try:
            self._at = _Part.MEDIA
            media.session.handle_timeout(now)
            self._finish_media_pass(media, now)
        except Exception as exc:  # a fault of ours: see the module's text
            self._mend(exc, now)
        finally:
            self._in_pass = False
            if self._inspector is not None:
                self._inspector.on_pass(self, now)

    def _finish_media_pass(self, media: MediaPath, now: float) -> None:
        """Tell and send what media has, and what the telling brought; see `_finish_pass`."""
        self._dirty = False
        events = media.session.events()
        if events:
            self._told(self.observer.on_media_events, events, now)
            if self.closed:
                return
            if self._dirty:  # a handler used a data channel
                self._finish_pass(now)
                return
        runs = media.drain_runs(now)
        if runs:
            self._at = _Part.ICE
            self.ice.send_runs(runs)
            self._at = _Part.MEDIA
        due = media.session.next_timeout()
        if due is not None and (self._timer is None or due < self._timer_due):
            self._set_timer(due, now)

    def on_datagrams(
        self, dtls: list[Run], srtp: list[bytes], now: float, arrived: list[float] | None = None
    ) -> None:
        """A pass: packets arrived; `arrived` tells when each of `srtp` did, if the loop was late."""
        if self.closed:
            return
        self._in_pass = True
        try:
            media = self.media
            if srtp and media is not None:
                self._at = _Part.MEDIA
                media.receive(srtp, now, arrived)
                if self._share(now) and not dtls:
                    self._flush_later()  # data may leave sooner than the timer says
                if not dtls:
                    self._finish_media_pass(media, now)
                    return
            if dtls:
                self._receive_dtls(dtls, now)
            self._finish_pass(now)
        except Exception as exc:  # a fault of ours: see the module's text
            unread = dtls if self._at is _Part.MEDIA else []
            self._mend(exc, now, unread)
        finally:
            self._in_pass = False
            if self._inspector is not None:
                self._inspector.on_pass(self, now)

    def _share(self, now: float) -> bool:
        """Media and data have their shares of what the path gives; whether data's is another than before."""
        sharing, media, channels = self._sharing, self.media, self.channels
        if channels is None or now < sharing.due_at:
            return False
        return sharing.look(None if media is None else media.session, channels.association, now)

    def _receive_dtls(self, runs: list[Run], now: float) -> None:
        self._at = _Part.DTLS
        self.dtls.receive_runs(runs, now)
        data = self.dtls.received()
        if data and self.channels is not None:
            self._at = _Part.CHANNELS
            self.channels.receive(data, now)

    def _flush_soon(self) -> None:
        self._flush_pending = False
        self._pass()

    def _on_timer(self) -> None:
        self._timer = None
        self._pass()

    def _pass(self) -> None:
        """A pass that the clock or the application began."""
        if self.closed:
            return
        self._in_pass = True
        now = monotonic()
        try:
            self._at = _Part.DTLS
            self._dtls_timeout(now)
            if self.channels is not None:
                self._at = _Part.CHANNELS
                self.channels.handle_timeout(now)
            if self.media is not None:
                self._at = _Part.MEDIA
                self.media.session.handle_timeout(now)
            self._share(now)
            self._finish_pass(now)
        except Exception as exc:  # a fault of ours: see the module's text
            self._mend(exc, now)
        finally:
            self._in_pass = False
            if self._inspector is not None:
                self._inspector.on_pass(self, now)

    def _mend(self, exc: Exception, now: float, unread: list[Run] | None = None) -> None:
        """An engine, or who was told, raised: end what is at fault, and do the rest of the pass.

        Each round ends an engine or takes events away, so that there are few.

        Args:
            exc: what was raised.
            now: monotonic seconds.
            unread: what DTLS has not been given yet.
        """
        for _ in range(MAX_FAULTS_PER_PASS):
            self._end_part(self._at, exc, now)
            try:
                if unread:
                    runs, unread = unread, None
                    self._receive_dtls(runs, now)
                self._finish_pass(now)
                return
            except Exception as another:  # see the module's text
                exc = another
        self._flush_later()

    def _end_part(self, part: _Part, exc: Exception, now: float) -> None:
        logger.error("%s: a fault in %s", self.ice.name, part.value, exc_info=exc)
        reason = f"an internal fault in {part.value}: {exc!r}"
        if part is _Part.MEDIA:
            self.media = None
            self._told(self.observer.on_media_lost, reason)
        elif part is _Part.CHANNELS:
            self._end_channels(now, reason)
        elif part is _Part.DTLS:
            self.dtls.fail(reason)
        else:
            self.ice.fail(reason)

    def _end_channels(self, now: float, reason: str) -> None:
        """The association is broken: what it would say cannot be relied on, so it is told for it."""
        channels, self.channels = self.channels, None
        if channels is None:
            return
        error = ProtocolError(reason)
        try:
            channels.association.abort(now, reason, error=error)
            self.dtls.send(channels.drain(now))
        except Exception as exc:  # it is broken: the peer finds out by its own timers
            logger.debug("%s: no goodbye from SCTP", self.ice.name, exc_info=exc)
        self._told(self.observer.on_channel_events, [AssociationClosed(error, graceful=False)])

    def _dtls_timeout(self, now: float) -> None:
        was_resting = self.dtls.is_resting
        self.dtls.handle_timeout(now)
        if self.dtls.is_resting and not was_resting:
            memory.released()

    def _finish_pass(self, now: float) -> None:
        """Tell what happened, send what is due and what the telling brought, set the timer.

        Telling comes first, so that an answer given in a handler leaves in the same packet as the
        acknowledgement of what it answers.
        """
        self._tell(now)
        for _ in range(MAX_TELLINGS_PER_PASS):
            if self.closed:
                return
            self._dirty = False
            if not self._flush(now):
                break
            self._tell(now)  # sending may have emptied a queue that somebody watches
            if not self._dirty:
                break
        else:
            self._flush_later()
        if not self.closed:
            self._arm(now)
        if self.after_pass is not None:
            self._told(self.after_pass)

    def _flush(self, now: float) -> bool:
        """Send what is due; whether any of it may have something to tell now (media has not)."""
        dtls, channels, ice = self.dtls, self.channels, self.ice
        if self.media is not None:
            self._at = _Part.MEDIA
            media = self.media.drain_runs(now)
            if media:
                self._at = _Part.ICE
                ice.send_runs(media)
        for i in range(MAX_ROUNDS_PER_PASS):
            self._at = _Part.CHANNELS
            packets = channels.drain(now) if channels is not None else ()
            self._at = _Part.DTLS
            if packets:
                if self._inspector is not None:
                    self._inspector.on_plain(ice.name, packets, now)
                dtls.send(packets)
            runs = dtls.drain_runs(now)
            if runs:
                self._at = _Part.ICE
                ice.send_runs(runs)
            if len(packets) < FULL_BATCH:
                return i > 0 or bool(runs) or (channels is not None and channels.has_news)
        self._flush_later()
        return True

    def _flush_later(self) -> None:
        if not self._flush_pending:
            self._flush_pending = True
            self._get_loop().call_soon(self._flush_soon)

    def _tell(self, now: float) -> None:
        self._at = _Part.DTLS
        left = False
        for event in self.dtls.events():
            self._tell_dtls(event, now)
            left = isinstance(event, DtlsClosed)
        if self.channels is not None:
            self._at = _Part.CHANNELS
            events = self.channels.events()
            if events:
                self._told(self.observer.on_channel_events, list(events))
        if self.media is not None:
            self._at = _Part.MEDIA
            media_events = self.media.session.events()
            if media_events:
                self._told(self.observer.on_media_events, media_events, now)
        if left and not self.closed:
            self._told(self.observer.on_peer_left)

    def _told(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell the observer. What it raises is no engine's fault, and costs nobody anything else."""
        try:
            call(*args, **kwargs)
        except Exception as exc:  # a fault of ours, in what was told
            logger.error("%s: a fault while telling", self.ice.name, exc_info=exc)

    def _tell_dtls(self, event: DtlsEvent, now: float) -> None:
        if isinstance(event, DtlsConnected):
            if self.channels is not None:
                self._at = _Part.CHANNELS
                self.channels.connect(now)
                self._dirty = True
            self._at = _Part.MEDIA
            self._connect_media(now)
            state = DtlsState.CONNECTED
        elif isinstance(event, DtlsFailed):
            self._lose_channels(now, event.reason, ProtocolError(event.reason))
            state = DtlsState.FAILED
        else:
            self._lose_channels(now, "the peer closed the DTLS connection", None)
            state = DtlsState.CLOSED
        self._told(self.observer.on_dtls_state, state, event)
        self._at = _Part.DTLS

    def _lose_channels(self, now: float, reason: str, error: ProtocolError | None) -> None:
        if self.channels is not None:
            self._at = _Part.CHANNELS
            self.channels.association.abort(now, reason, error=error)
            self._dirty = True

    def _arm(self, now: float) -> None:
        self._at = _Part.DTLS
        due = self.dtls.next_timeout()
        if self.channels is not None:
            self._at = _Part.CHANNELS
            other = self.channels.next_timeout()
            if due is None or (other is not None and other < due):
                due = other
        if self.media is not None:
            self._at = _Part.MEDIA
            other = self.media.session.next_timeout()
            if due is None or (other is not None and other < due):
                due = other
        if due is None:
            return
        # A timer that rings early costs a look; one that is moved for every packet costs 2 us each.
        if self._timer is None or due < self._timer_due:
            self._set_timer(due, now)

    def _set_timer(self, due: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        # the loop's own time may be coarser than the clock's
        self._timer = self._get_loop().call_later(due - now, self._on_timer)

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    # -- ICE's reports ----------------------------------------------------------------------------

    def on_ice_candidate(self, candidate: Candidate, ufrag: str, server: IceServer | None) -> None:
        """Passed on."""
        self.observer.on_ice_candidate(candidate, ufrag, server)

    def on_ice_gathering(self, state: GatheringState) -> None:
        """Passed on."""
        self.observer.on_ice_gathering(state)

    def on_ice_server_error(self, server: IceServer, local: Address | None, code: int, text: str) -> None:
        """Passed on."""
        self.observer.on_ice_server_error(server, local, code, text)

    def on_ice_path(
        self, state: IceState | None, pair: PairView | None, *, is_unselected: bool = False
    ) -> None:
        """Passed on; media looks at once what a new pair gives, and DTLS starts with the first."""
        if pair is not None and self.media is not None and not self.closed:
            self.media.session.on_path_change(monotonic())
            self.wake()
        self.observer.on_ice_path(state, pair, is_unselected=is_unselected)
        if state is not None:
            self._maybe_start_dtls()

    def on_ice_pair(self, news: PairNews, pair: PairView) -> None:
        """Passed on."""
        self.observer.on_ice_pair(news, pair)

    # -- the end ----------------------------------------------------------------------------------

    def give_up(self, reason: str) -> None:
        """The path is lost for good: end the association, so that its channels close with an error."""
        if not self.closed:
            now = monotonic()
            try:
                self._lose_channels(now, reason, ProtocolError(reason))
            except Exception as exc:  # a fault of ours: see the module's text
                self._end_part(_Part.CHANNELS, exc, now)
            self.wake()

    def abandon(self) -> asyncio.Task[None] | None:
        """Say goodbye to the peer as far as one flush can, and close.

        Returns:
            The task that ends when every socket is released, or None without a running loop.
        """
        if not self.closed:
            try:
                self._say_goodbye(monotonic())
            except Exception as exc:  # a fault of ours: the sockets are released all the same
                logger.error("%s: a fault while closing", self.ice.name, exc_info=exc)
            self.closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        return self.ice.abandon()

    def _say_goodbye(self, now: float) -> None:
        if self.channels is not None:
            self.channels.association.abort(now, "the peer connection was closed")
            packets = self.channels.drain(now)
            if packets:
                self.dtls.send(packets)
        runs: list[Run] = []
        if self.media is not None:
            self.media.session.close(now, "the peer connection was closed")
            runs += self.media.drain_runs(now)
        self.dtls.close()
        runs += self.dtls.drain_runs(now)
        if runs:
            self.ice.send_runs(runs)

    async def close(self) -> None:
        """Close, and wait until every socket is released."""
        task = self.abandon()
        if task is not None:
            await asyncio.shield(task)
