from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from okgames.catalogue import App

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def caller_of(peer: str | None, forwarded: Sequence[str], trusted_proxies: Sequence[Network]) -> Address | None:
    """
    Return the address that called, None if it cannot be told.

    `forwarded` are the X-Forwarded-For headers as they came. Each proxy appends whom it was called by, and whatever
    stands before the first trusted proxy's entry may be the caller's own invention, so they are read from the right.
    """
    address = _parse(peer) if peer else None
    if not trusted_proxies or not _is_within(address, trusted_proxies):
        return address
    for hop in reversed(",".join(forwarded).split(",")):
        if not hop.strip():
            continue
        address = _parse(hop.strip())
        if not _is_within(address, trusted_proxies):
            return address
    return address


def is_expected(caller: Address | None, app: App) -> bool:
    """Tell whether this address is one of those from which OK calls; where none are given, any is."""
    return app.allowed_callers is None or _is_within(caller, app.allowed_callers)


def _is_within(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that listens on both families names an IPv4 caller ::ffff:a.b.c.d.
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
