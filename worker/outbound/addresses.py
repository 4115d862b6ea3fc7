"""Which network addresses may be connected to on somebody else's word: the public ones.

The URL of a job comes from a stranger, that of a webhook from a producer. Without this check the service would fetch
the cloud's metadata service or a neighbour's admin page on their behalf (server-side request forgery).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

#: Metadata services outside the link-local range, from the providers' pages.
_METADATA = frozenset(
    {
        IPv4Address("168.63.129.16"),  # Azure WireServer, on a public address
        IPv4Address("100.100.100.200"),  # Alibaba Cloud
        IPv6Address("fd00:ec2::254"),  # AWS
        IPv6Address("fd20:ce::254"),  # Google Cloud
    }
)

#: Ranges whose addresses carry an IPv4 address, and how far from the right it stands, in bits.
_EMBEDDED_IPV4 = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped, RFC 4291
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)

#: Never the address of a web shop, though some are called global.
_SPECIAL = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, RFC 6890; Oracle Cloud's metadata service
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, RFC 7526
    IPv6Network("::/96"),  # IPv4-compatible (deprecated), unspecified; loopback is named before
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated, RFC 2765
    IPv6Network("64:ff9b:1::/48"),  # local-use NAT64, RFC 8215
    IPv6Network("2001::/23"),  # Teredo and other protocol assignments, RFC 2928
    IPv6Network("3fff::/20"),  # documentation, RFC 9637
    IPv6Network("fec0::/10"),  # site-local (deprecated), RFC 3879
)

#: The upper half of an interface identifier that holds an IPv4 address (ISATAP, RFC 5214), whatever the prefix is; the
#: universal/local bit (200) says whether that address is unique in the world.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def refusal(address: str, *, allow_private: bool = False) -> str | None:
    """Return why nobody may connect to `address`, e.g. ``a loopback address``, or None if it is allowed.

    `allow_private` lets loopback, private and carrier-grade NAT addresses pass; link-local ones, where clouds
    keep their metadata services, stay refused. Raises ValueError when `address` is not an IP address.
    """
    ip = _innermost(ip_address(address))
    if ip in _METADATA or ip.is_link_local:
        return "a link-local or metadata address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_loopback:
        return None if allow_private else "a loopback address"
    if ip.is_unspecified or ip.is_reserved or any(ip in network for network in _SPECIAL) or _is_isatap(ip):
        return "a reserved address"
    if not ip.is_global:
        return None if allow_private else "a private address"
    return None


def _innermost(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that traffic to `ip` ends up at, where `ip` merely wraps one."""
    for network, shift in _EMBEDDED_IPV4:
        if ip in network:
            return IPv4Address((int(ip) >> shift) & 0xFFFFFFFF)
    return ip


def _is_isatap(ip: IPv4Address | IPv6Address) -> bool:
    """Whether a router may send this on to an IPv4 address: in a network of one's own, that is a neighbour."""
    return ip.version == 6 and int(ip) >> 32 & 0xFFFFFFFF in _ISATAP
