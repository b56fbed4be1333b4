"""What a transport makes of ICE's reports."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

from rtcstack.dtls.certificate import Certificate
from rtcstack.ice import IceConfig
from rtcstack.transport.transport import Transport
from tests.unit.rtp.media import video_parameters


def test_media_hears_of_another_path() -> None:
    async def run() -> None:
        observer, agent = Mock(), Mock()
        transport = Transport(IceConfig(), Certificate.generate(), observer, ice=agent)
        pair: Any = object()
        transport.on_ice_path(None, pair)  # before there is media: told on, no more
        session = transport.attach_media().session
        session.start(0.0)
        session.add_send_stream(video_parameters(transport_cc=True))
        estimator: Any = session.sending.estimator
        estimator.on_sent(1000, 0.0)
        session.sending.estimator.take_probes()  # type: ignore[union-attr]
        transport.on_ice_path(None, pair)
        assert len(estimator.take_probes()) == 1
        assert observer.on_ice_path.call_count == 2
        transport.abandon()

    asyncio.run(run())
