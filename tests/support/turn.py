"""coturn on this machine: a STUN and TURN server for the tests that need one."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ifaddr
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.host import LeashedProcess

__all__ = ["TurnServer", "local_address_v6", "turn_available", "turn_server"]

USERNAME, PASSWORD = "user", "secret"


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A running server.

    Attributes:
        address: of this machine, where it listens.
        port: of STUN and TURN over UDP and TCP.
        tls_port: of TURN over TLS.
        certificate: file with the certificate, its own authority.
    """

    address: str
    port: int
    tls_port: int
    certificate: Path

    @property
    def stun(self) -> dict[str, Any]:
        """An RTCIceServer in JSON."""
        return {"urls": [f"stun:{self.address}:{self.port}"]}

    def turn(self, transport: str) -> dict[str, Any]:
        """An RTCIceServer in JSON for TURN over "udp", "tcp" or "tls"."""
        url = {
            "udp": f"turn:{self.address}:{self.port}?transport=udp",
            "tcp": f"turn:{self.address}:{self.port}?transport=tcp",
            "tls": f"turns:{self.address}:{self.tls_port}?transport=tcp",
        }[transport]
        return {"urls": [url], "username": USERNAME, "credential": PASSWORD}


def turn_available() -> bool:
    """Whether coturn is installed."""
    return shutil.which("turnserver") is not None


def local_address() -> str:
    """An IPv4 address of this machine that peers offer as a host candidate, if it has any."""
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if ip.is_IPv4 and not ipaddress.ip_address(str(ip.ip)).is_loopback:
                return str(ip.ip)
    return "127.0.0.1"


def free_port(address: str) -> int:
    """A port that is free now for UDP and TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind((address, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((address, port))
            except OSError:
                continue
            return port


def make_certificate(directory: Path, address: str) -> tuple[Path, Path]:
    """Files of a certificate for that address and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rtcstack test server")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(encoding))
    key_file.write_bytes(key.private_bytes(encoding, private, serialization.NoEncryption()))
    return certificate_file, key_file


async def listening(address: str, port: int, process: LeashedProcess) -> None:
    """Wait until the server takes connections."""
    async with asyncio.timeout(10):
        while True:
            if process.process.returncode is not None:
                raise RuntimeError("turnserver ended at once")
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def local_address_v6() -> str | None:
    """An IPv6 address of this machine that is no link's own, if it has any."""
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if ip.is_IPv6:
                address = ipaddress.ip_address(ip.ip[0])
                if not address.is_loopback and not address.is_link_local:
                    return str(address)
    return None


@asynccontextmanager
async def turn_server(*relay_ips: str) -> AsyncIterator[TurnServer]:
    """Run coturn on an address of this machine; it relays to nowhere else.

    Args:
        relay_ips: addresses from which it relays, beside that one.
    """
    program = shutil.which("turnserver")
    assert program is not None
    address = local_address()
    directory = Path(tempfile.mkdtemp(prefix="rtcstack-turn-"))
    certificate, key = make_certificate(directory, address)
    port, tls_port = free_port(address), free_port(address)
    options = {
        "listening-ip": address,
        "relay-ip": address,
        "listening-port": port,
        "tls-listening-port": tls_port,
        "cert": certificate,
        "pkey": key,
        "realm": "rtcstack",
        "user": f"{USERNAME}:{PASSWORD}",
        "userdb": directory / "turndb",
        "pidfile": directory / "turnserver.pid",
        "log-file": directory / "turnserver.log",
        "denied-peer-ip": "0.0.0.0-255.255.255.255",
        "allowed-peer-ip": address,
    }
    more = [f"--relay-ip={each}" for each in relay_ips]
    flags = ("-n", "--lt-cred-mech", "--fingerprint", "--no-cli", "--no-dtls", "--simple-log")
    process = await LeashedProcess.start(
        program,
        *flags,
        *(f"--{name}={value}" for name, value in options.items()),
        *more,
        directory=str(directory),
    )
    try:
        await listening(address, port, process)
        yield TurnServer(address, port, tls_port, certificate)
    finally:
        await process.kill()
