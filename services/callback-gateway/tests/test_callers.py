from ipaddress import ip_network

import pytest
from gateway_world import config

from callback_gateway.domain.callers import caller_of, is_expected

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
OK = "217.20.145.200"


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        (OK, (), OK),
        (OK, ("6.6.6.6",), OK),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", (OK,), OK),
        ("10.0.0.1", (f"6.6.6.6, {OK}",), OK),
        ("10.0.0.1", ("6.6.6.6", OK), OK),
        ("10.0.0.1", (f"{OK}, 6.6.6.6",), "6.6.6.6"),
        ("10.0.0.1", (f"6.6.6.6, {OK} , 10.0.0.2,10.0.0.3",), OK),
        ("10.0.0.1", ("10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", (f"{OK}, not an address",), "not an address"),
        ("10.0.0.1", (f"{OK}, {'x' * 100}",), "x" * 64),
        ("10.0.0.1", (" , ,",), "10.0.0.1"),
        ("fd00::1", (f"::ffff:{OK}",), OK),
        (f"::ffff:{OK}", (), OK),
        ("::ffff:10.0.0.1", (OK,), OK),
        ("fe80::1", (), "fe80::1"),
        (None, (OK,), "unknown"),
    ],
)
def test_the_caller_is_whom_the_last_trusted_proxy_was_called_by(
    peer: str | None, forwarded: tuple[str, ...], caller: str
) -> None:
    assert caller == caller_of(peer, forwarded, PROXIES).text


def test_without_trusted_proxies_nobody_is_believed_to_be_another() -> None:
    assert "10.0.0.1" == caller_of("10.0.0.1", (OK,), ()).text


@pytest.mark.parametrize(
    ("allowed", "caller", "expected"),
    [
        (None, "6.6.6.6", True),
        (None, None, True),
        (["217.20.145.192/28"], OK, True),
        (["217.20.145.192/28"], "217.20.145.208", False),
        (["6.6.6.0/24", "217.20.145.192/28"], OK, True),
        (["217.20.145.192/28"], "fe80::1", False),
        (["217.20.145.192/28"], "nonsense", False),
        (["217.20.145.192/28"], None, False),
        ([], OK, False),
    ],
)
def test_a_caller_is_expected_from_the_games_networks(
    allowed: list[str] | None, caller: str | None, expected: bool
) -> None:
    app = config(allowed_callers=allowed).apps[0]

    assert expected == is_expected(caller_of(caller, (), ()), app)
