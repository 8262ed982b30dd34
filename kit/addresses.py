"""Network addresses that others name: their one form, and which of them may be connected to.

What an outsider names could lead back inside: to a loopback or private address, to the metadata
service of a cloud, or to a name that only the inside resolves. Pure; resolving is the caller's.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_HTTPS: Final = re.compile(r"https://(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253}):([1-9][0-9]{0,4})")
_NAME: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.(?!$)|$))+")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label like this makes resolvers read the whole name as an IPv4 address of some kind."""

_INSIDE: Final = tuple(
    map(
        ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2002::/16", "3fff::/20"),
    )
)
"""Global by the registry or by Python's copy of it, yet no place to connect to: special purposes,
relays that carry other addresses inside, what the host machine of a cloud answers, and examples of
documentation."""
_INSIDE_NAMES: Final = frozenset({"localhost", "localdomain", "local", "internal"})
"""Last labels of names that no public resolver answers for (RFC 6761, RFC 6762, `.internal`)."""


def parse_https(text: str) -> tuple[str, int]:
    """Return host and port of `https://host:port`; an IPv6 host without its brackets.

    Raises:
        ValueError: it has another form: another scheme, no port, a user, a path, a query, capital
            letters, or a number that only some resolvers take for an address.
    """
    found = _HTTPS.fullmatch(text)
    if found is None or int(found[2]) > 65535:
        raise ValueError("an address has the form https://host:port and nothing else")
    host = found[1]
    if host.startswith("["):
        return str(IPv6Address(host[1:-1])), int(found[2])
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        IPv4Address(host)
    elif _NAME.fullmatch(host) is None:
        raise ValueError("the host is no name")
    return host, int(found[2])


def is_public(address: str | IPv4Address | IPv6Address) -> bool:
    """Tell whether an IP address is one of the public network.

    Loopback, private, link-local, shared, reserved and multicast ones are not, nor those that
    carry another address inside (6to4, Teredo, NAT64), nor a cloud's metadata service. An
    IPv4-mapped one is what it carries.

    Raises:
        ValueError: `address` is no IP address.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(ip.ipv4_mapped)
        if ip.teredo is not None or ip.is_site_local or ip.scope_id is not None:
            return False
    if ip.is_multicast or ip.is_reserved or any(ip in network for network in _INSIDE):
        return False
    return ip.is_global


def may_be_public(host: str) -> bool:
    """Tell whether a host, as `parse_https` returns it, could be one of the public network.

    A name must have a dot: others are resolved by local rules, as are some last labels. What it
    leads to is known only when it is resolved.
    """
    try:
        return is_public(host)
    except ValueError:
        return "." in host and host.rpartition(".")[2] not in _INSIDE_NAMES
