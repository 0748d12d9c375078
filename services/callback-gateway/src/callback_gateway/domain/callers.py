from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

from okgames.catalogue import App

Network = IPv4Network | IPv6Network

_LONGEST: Final = 64


class Caller(NamedTuple):
    """Say who called; the address is None where the text is none, as of a Unix socket or in a forged header."""

    text: str
    address: IPv4Address | IPv6Address | None


def caller_of(peer: str | None, forwarded: Sequence[str], trusted_proxies: Sequence[Network]) -> Caller:
    """
    Return who called through the proxies that are trusted; `forwarded` are the X-Forwarded-For headers as they came.

    Each proxy appends whom it was called by. What stands before the entry of the first trusted one may be the caller's
    invention, so they are read from the right.
    """
    caller = _parse(peer or "unknown")
    if not trusted_proxies or not _is_within(caller, trusted_proxies):
        return caller
    for hop in reversed(",".join(forwarded).split(",")):
        if not hop.strip():
            continue
        caller = _parse(hop.strip()[:_LONGEST])
        if not _is_within(caller, trusted_proxies):
            break
    return caller


def is_expected(caller: Caller, app: App) -> bool:
    """Tell whether OK is known to call from there; where no addresses are given, anybody may be OK."""
    return app.allowed_callers is None or _is_within(caller, app.allowed_callers)


def _is_within(caller: Caller, networks: Sequence[Network]) -> bool:
    return caller.address is not None and any(caller.address in network for network in networks)


@lru_cache(maxsize=1024)
def _parse(text: str) -> Caller:
    try:
        address = ip_address(text)
    except ValueError:
        return Caller(text, None)
    # A socket that listens on both families names an IPv4 caller ::ffff:a.b.c.d.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return Caller(str(mapped or address), mapped or address)
