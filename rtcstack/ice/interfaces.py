"""Which of this machine's addresses an agent uses, and how its sockets are opened."""

from __future__ import annotations

from rtcstack.ice.config import IceConfig
from rtcstack.platform import HostAddress, Network, UdpOptions

__all__ = ["host_addresses", "is_wanted", "udp_options"]


def host_addresses(network: Network, config: IceConfig) -> list[HostAddress]:
    """The machine's addresses that host candidates are made of, in the system's order."""
    found: list[HostAddress] = []
    loopback: list[HostAddress] = []
    for address in network.interfaces():
        usable = config.use_ipv6 if ":" in address.host else config.use_ipv4
        if usable and is_wanted(address.host, address.interface, config):
            (loopback if address.is_loopback else found).append(address)
    return found + loopback if config.include_loopback or not found else found


def is_wanted(host: str, interface: str, config: IceConfig) -> bool:
    """Whether the application's filters let this address be used."""
    options = config.options
    if options.bind_addresses and host not in options.bind_addresses:
        return False
    if options.interface_filter is not None and not options.interface_filter(interface):
        return False
    return options.address_filter is None or options.address_filter(host)


def udp_options(config: IceConfig, *, in_range: bool = True) -> UdpOptions:
    """How sockets are opened by these settings; from their range of ports, or any."""
    return UdpOptions(
        receive_buffer_bytes=config.receive_buffer_bytes,
        send_buffer_bytes=config.send_buffer_bytes,
        port_range=config.options.port_range if in_range else None,
    )
