"""Test by which network an address of IPv6 is counted and banned."""

import pytest

from infisical_iac.host.ban_networks import network


@pytest.mark.parametrize(
    ("address", "banned"),
    [
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        # A network, an IPv4 address, a link-local address, and a host name.
        ("2001:db8::/64", "2001:db8::/64"),
        ("203.0.113.9", "203.0.113.9"),
        ("fe80::1", "fe80::1"),
        ("host.example.com", "host.example.com"),
    ],
)
def test_ipv6_is_counted_by_64_bits_and_other_values_are_unchanged(
    address: str, banned: str
) -> None:
    assert network(address, ["127.0.0.0/8", "::1", "name.example.com"]) == banned


@pytest.mark.parametrize("exempt", ["2001:db8::5", "2001:db8::/80", "2001:db8::/64"])
def test_a_network_with_an_exempt_address_is_counted_by_address(exempt: str) -> None:
    assert network("2001:db8::1", [exempt]) == "2001:db8::1"
    assert network("2001:db8:0:1::1", [exempt]) == "2001:db8:0:1::/64"
