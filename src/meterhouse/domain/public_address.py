"""Which addresses are of the public internet."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
"""Its last 32 bits are an IPv4 address, which a gateway connects to."""
_TRANSLATED = IPv6Network("64:ff9b:1::/48")
"""The same inside of a network."""


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether anybody may be asked to connect to it: not a private, link-local, shared, loopback, reserved or multicast
    one, nor an IPv6 address that stands for one of these."""
    if isinstance(address, IPv6Address):
        embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            embedded.append(IPv4Address(int(address) & 0xFFFF_FFFF))
        if any(each is not None and not is_public(each) for each in embedded):
            return False
        if address.ipv4_mapped is not None:
            return True  # that one is public
        if address in _TRANSLATED or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast
