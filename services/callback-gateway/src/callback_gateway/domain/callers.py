from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def caller_of(peer: str | None, forwarded: Sequence[str], trusted_proxies: Sequence[Network]) -> Address | None:
    """
    Return the address that called, None if it cannot be told.

    `forwarded` are the X-Forwarded-For headers as they came. Each proxy appends whom it was called by, and whatever
    stands before the first trusted proxy's entry may be the caller's own invention, so they are read from the right.
    """
    address = _parse(peer) if peer else None
    if not trusted_proxies or not is_within(address, trusted_proxies):
        return address
    for hop in reversed(",".join(forwarded).split(",")):
        if not hop.strip():
            continue
        address = _parse(hop.strip())
        if not is_within(address, trusted_proxies):
            return address
    return address


def is_within(address: Address | None, networks: Sequence[Network]) -> bool:
    """Tell whether an address belongs to one of these networks; an unknown one does not."""
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that listens on both families names an IPv4 caller ::ffff:a.b.c.d.
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
