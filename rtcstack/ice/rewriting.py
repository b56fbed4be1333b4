"""Which addresses stand for one of this machine's: the application's rules, applied."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from rtcstack.config import AddressRule

__all__ = ["externals", "find_rule"]


def find_rule(
    rules: tuple[AddressRule, ...], candidate_type: str, host: str, interface: str | None, transport: str
) -> AddressRule | None:
    """The first rule that matches a local address, or None.

    Args:
        rules: in the application's order.
        candidate_type: "host", "srflx" or "relay".
        host: the address.
        interface: on which it is, if known.
        transport: "udp" or "tcp".
    """
    address = ip_address(host)
    protocol = f"{transport}{address.version}"
    for rule in rules:
        if (
            rule.candidate_type == candidate_type
            and protocol in rule.protocols
            and (rule.local is None or ip_address(rule.local) == address)
            and (rule.interface is None or rule.interface == interface)
            and (rule.network is None or address in ip_network(rule.network))
            and (not rule.external or externals(rule, host))
        ):
            return rule
    return None


def externals(rule: AddressRule, host: str) -> list[str]:
    """The rule's external addresses of the same IP version as this local one."""
    version = ip_address(host).version
    return [text for text in rule.external if ip_address(text).version == version]
