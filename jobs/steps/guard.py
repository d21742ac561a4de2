"""Which addresses a step may send to: the defence against requests forged into the inside network.

A URL is checked before use (scheme, port, no user name), and every socket again when it is opened,
by the address it really connects to; so no spelling of an address, DNS answer or redirect passes.
SPINDLE_INTERNAL_HOSTS exempts hosts by name (`crm.internal`, `10.0.0.5:8080`); the metadata
services of cloud machines stay closed even then.
"""

import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from yarl import URL

METADATA = frozenset(
    {
        ip_address("169.254.169.254"),  # AWS, Azure, Google, DigitalOcean …
        ip_address("169.254.170.2"),  # AWS ECS
        ip_address("169.254.169.123"),
        ip_address("100.100.100.200"),  # Alibaba
        ip_address("168.63.129.16"),  # Azure's host
        ip_address("192.0.0.192"),  # Oracle
        ip_address("fd00:ec2::254"),
        ip_address("fd20:ce::254"),
    }
)
NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))


class Blocked(OSError):
    """The request may not leave; the message says why and what to do."""


def is_metadata(address: str) -> bool:
    return any(form in METADATA for form in _forms(address))


def is_public(address: str) -> bool:
    """Whether an address, and any other it stands for, lies in the public network."""
    forms = _forms(address)
    return bool(forms) and all(
        form.is_global and not form.is_multicast and form not in METADATA for form in forms
    )


@lru_cache(maxsize=4096)
def _forms(address: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The address itself and the IPv4 address it wraps (mapped, 6to4, Teredo, NAT64)."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ()
    if isinstance(found, IPv4Address):
        return (found,)
    if found.ipv4_mapped:
        return (found.ipv4_mapped,)
    wrapped = [found.sixtofour, *(found.teredo or ())]
    if any(found in network for network in NAT64) or int(found) >> 32 == 0:
        wrapped.append(IPv4Address(int(found) & 0xFFFFFFFF))
    return (found, *(form for form in wrapped if form))


def open_socket(address_info: Any, *, is_internal: bool = False) -> socket.socket:
    """The socket for one connection, or Blocked; called with the address that is connected to."""
    family, kind, protocol, _, address = address_info
    host = str(address[0])
    if is_metadata(host) or not (is_internal or is_public(host)):
        raise Blocked(
            f"{host} is not a public address, so nothing was sent. If this server may be used, "
            "add its host name to SPINDLE_INTERNAL_HOSTS."
        )
    return socket.socket(family=family, type=kind, proto=protocol)


def check_url(url: URL) -> bool:
    """Whether the URL names an internal host that is exempt; raises Blocked when it is refused."""
    if url.scheme not in ("http", "https"):
        raise Blocked(f"only http and https addresses can be called, not {url.scheme or 'none'!r}")
    if url.raw_user is not None or url.raw_password is not None:
        raise Blocked("an address must not hold a user name or password; use a header")
    host, port = url.raw_host, url.port
    if not host or port is None:
        raise Blocked("the address names no host")
    if is_exempt(host, port):
        return True
    if port not in settings.HTTP_PORTS:
        allowed = ", ".join(map(str, sorted(settings.HTTP_PORTS)))
        raise Blocked(
            f"port {port} is not open to steps (open are {allowed}); "
            "SPINDLE_HTTP_PORTS or SPINDLE_INTERNAL_HOSTS can open it"
        )
    return False


def is_exempt(host: str, port: int) -> bool:
    exempt = _exempt(tuple(settings.INTERNAL_HOSTS))
    host = host.lower().rstrip(".").strip("[]")
    return (host, None) in exempt or (host, port) in exempt


@lru_cache(maxsize=32)
def _exempt(entries: tuple[str, ...]) -> frozenset[tuple[str, int | None]]:
    found: set[tuple[str, int | None]] = set()
    for entry in entries:
        host, _, port = entry.lower().rpartition(":")
        if host and port.isdigit() and (host.startswith("[") or ":" not in host):
            found.add((host.strip("[]").rstrip("."), int(port)))
        else:
            found.add((entry.lower().strip("[]").rstrip("."), None))
    return frozenset(found)
