"""What an ICE agent may be able to do, and which agent is.

Spec: RFC 8445; RFC 6544 (TCP candidates).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum

from rtcstack.errors import NotSupportedError
from rtcstack.ice.config import GatherPolicy, IceConfig

__all__ = ["FEATURES", "IceFeature", "check_features", "lacking", "say_once"]

logger = logging.getLogger("rtcstack.ice")


class IceFeature(StrEnum):
    """What not every agent does; its value says it in words."""

    TCP = "TCP candidates"
    LITE = "the lite role"
    ADDRESS_RULES = "address rules"
    HIDDEN_ADDRESSES = "host addresses that are not told"
    PORT_RANGE = "a range of ports"
    SHARED_PORTS = "ports that connections share"
    NO_UDP = "ICE without UDP"
    RENOMINATION = "renomination"
    TIMERS = "intervals and time-outs of checks and consent"
    """The settings below `_TIMERS`; without it they are what the agent's library has."""
    EARLY_CHECKS = "checks while servers are still asked"
    """Without it a server that does not answer delays the connection."""
    CANDIDATE_POOL = "candidates that are gathered ahead of their use, and told at once"
    RECOVERY = "another pair, or the same one again, when the selected one goes silent"
    """Without it a path that was silent too long needs a restart."""
    FORKING = "another peer in the place of one that has answered provisionally"
    """Without it the credentials of the first answer stay."""
    PAIRS = "candidate pairs of the application's choice"
    """Without it the application hears of the selected pair only, and cannot change it."""
    RELAY_FAMILIES = "relays of both IP versions from one server"
    SEEDED = "the same in each run, where chance is seeded"
    """Without it credentials, transactions and times are drawn by the agent's library itself."""


FEATURES = {
    "rtcstack": frozenset(IceFeature),
    "aioice": frozenset[IceFeature](),
}
"""What each agent of `IceSettings.agent` has."""

_TIMERS = ("keepalive_s", "failed_timeout_s")
_said: set[str] = set()


def _wanted(config: IceConfig) -> Iterator[tuple[IceFeature, str]]:
    """The features that settings ask for, each with the setting's name."""
    options = config.options
    if options.tcp:
        yield IceFeature.TCP, "tcp"
    if options.lite:
        yield IceFeature.LITE, "lite"
    if options.address_rules:
        yield IceFeature.ADDRESS_RULES, "address_rules"
    if options.hide_host_addresses:
        yield IceFeature.HIDDEN_ADDRESSES, "hide_host_addresses"
    if options.no_host or config.policy is GatherPolicy.NO_HOST:
        yield IceFeature.HIDDEN_ADDRESSES, "no_host"
    if options.port_range is not None:
        yield IceFeature.PORT_RANGE, "port_range"
    if options.udp_mux is not None:
        yield IceFeature.SHARED_PORTS, "udp_mux"
    if not options.udp:
        yield IceFeature.NO_UDP, "udp"
    if options.renomination:
        yield IceFeature.RENOMINATION, "renomination"


def say_once(text: str) -> None:
    """Say in the log, however often it is asked for, what an agent does not heed."""
    if text not in _said:
        _said.add(text)
        logger.warning(text)


def lacking(config: IceConfig, feature: IceFeature, asked_by: str) -> NotSupportedError:
    """What says that an agent does not have a feature.

    Args:
        config: names the agent.
        feature: which it lacks.
        asked_by: the setting or method that wants it.
    """
    return NotSupportedError(
        f"the ICE agent {config.options.agent!r} does not support {feature.value} ({asked_by})"
    )


def check_features(config: IceConfig) -> None:
    """Refuse settings that their agent cannot keep, and say in the log which it does not heed.

    Raises:
        NotSupportedError: with the feature and the setting's name.
    """
    agent = config.options.agent
    features = FEATURES[agent]
    for feature, setting in _wanted(config):
        if feature not in features:
            raise lacking(config, feature, setting)
    if IceFeature.TIMERS not in features:
        usual = {each.name: each.default for each in fields(IceConfig)}
        others = [name for name in _TIMERS if getattr(config, name) != usual[name]]
        usual_interval_s = type(config.options)().check_interval_s
        others += ["check_interval_s"] * (config.options.check_interval_s != usual_interval_s)
        if others and agent not in _said:
            _said.add(agent)
            logger.warning(
                "the ICE agent %r has its own intervals and time-outs: %s not heeded",
                agent,
                ", ".join(others),
            )
