"""Test the proxy, the private networks and the lifetimes of sessions that the settings take."""

import subprocess
from typing import Any

import pytest
import yaml

from infisical_iac.core.errors import SettingsError
from infisical_iac.core.settings import Settings
from infisical_iac.host.machine import HostAddresses
from infisical_iac.host.model import MachineState
from infisical_iac.host.openings import (
    Egress,
    direct_names,
    egress,
    refuse_unenforced,
    refuse_unreached,
)
from infisical_iac.instance.network import EVERYWHERE
from infisical_iac.stack.compose import compose_file
from tests.unit.settings_of import settings_of

_PROXY = "http://proxy.internal:3128"
_LOGIN = "http://infisical@proxy.internal:3128"


def _environment(*, drill: bool = False, **changes: object) -> dict[str, str]:
    text = compose_file(settings_of(**changes), MachineState(), drill=drill)
    found: dict[str, str] = yaml.safe_load(text)["services"]["infisical"]["environment"]
    return found


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        ("proxy.internal:3128", "scheme"),
        ("http://proxy.internal", "port"),
        ("http://proxy.internal:99999", "port"),
        ("http://proxy.internal:3128/path", "scheme, host and port"),
        ("https://proxy.internal:3128", "no HTTP proxy"),
        ("socks5://proxy.internal:1080", "no HTTP proxy"),
        ("http://localhost:3128", "container"),
        ("http://127.0.0.1:3128", "container"),
        ("http://a%40b@proxy.internal:3128", "user"),
    ],
)
def test_other_addresses_than_those_of_http_proxies_are_refused(value: str, fact: str) -> None:
    with pytest.raises(SettingsError, match="outbound_proxy") as refused:
        settings_of(outbound_proxy=value)
    assert fact in str(refused.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_password_in_the_address_is_refused_and_not_shown(scheme: str) -> None:
    with pytest.raises(SettingsError, match="OUTBOUND_PROXY_PASSWORD") as refused:
        settings_of(outbound_proxy=f"{scheme}://infisical:fake-password@proxy.internal:3128")
    assert "fake-password" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        ("10.0.0.0/8", "network"),
        ("*.internal", "'.internal'"),
        ("*", "'.internal'"),
        ("git.internal:443", "without a port"),
        ("https://git.internal", "path"),
    ],
)
def test_entries_of_no_proxy_that_the_libraries_do_not_compare_are_refused(
    value: str, fact: str
) -> None:
    with pytest.raises(SettingsError, match="no_proxy") as refused:
        settings_of(no_proxy=(value,))
    assert fact in str(refused.value)


def test_without_a_proxy_no_variable_names_one() -> None:
    assert not {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NODE_USE_ENV_PROXY"} & {*_environment()}


def test_the_stack_and_the_proxy_itself_are_reached_without_the_proxy() -> None:
    found = _environment(outbound_proxy=_PROXY, no_proxy=(".corp", "10.1.2.3"))
    assert (found["HTTP_PROXY"], found["HTTPS_PROXY"]) == (_PROXY, _PROXY)
    assert found["NODE_USE_ENV_PROXY"] == "1"
    direct = found["NO_PROXY"].split(",")
    assert {"localhost", "127.0.0.1", "postgres", "redis", "haproxy", "sentinel-1"} <= {*direct}
    assert direct[-3:] == ["proxy.internal", ".corp", "10.1.2.3"]


def test_the_password_of_the_proxy_is_only_in_its_address() -> None:
    settings = settings_of(outbound_proxy=_LOGIN)
    assert [each.variable for each in settings.instance.secrets] == ["OUTBOUND_PROXY_PASSWORD"]
    found = _environment(outbound_proxy=_LOGIN)
    address = "http://infisical:${OUTBOUND_PROXY_PASSWORD:-}@proxy.internal:3128"
    assert (found["HTTP_PROXY"], found["HTTPS_PROXY"]) == (address, address)
    assert "OUTBOUND_PROXY_PASSWORD" not in found


def test_a_drill_has_neither_a_proxy_nor_private_networks() -> None:
    found = _environment(outbound_proxy=_LOGIN, internal_networks=("10.1.0.0/16",), drill=True)
    assert not {"HTTP_PROXY", "NO_PROXY"} & {*found}
    assert found["ALLOW_INTERNAL_IP_CONNECTIONS"] == "false"


@pytest.mark.parametrize(
    "network",
    [
        *("8.8.8.0/24", "10.0.0.0/7", "127.0.0.0/8", "169.254.0.0/16", "169.254.169.254/32"),
        *("2001:db8::/32", "fe80::/10", "10.1.2.3/8", "internal"),
    ],
)
def test_a_network_that_is_not_private_is_refused(network: str) -> None:
    with pytest.raises(SettingsError, match="internal_networks"):
        settings_of(internal_networks=(network,))


@pytest.mark.parametrize(
    ("networks", "value"), [((), "false"), (("10.1.0.0/16", "fd00:1::/32"), "true")]
)
def test_infisical_calls_private_addresses_once_a_network_is_listed(
    networks: tuple[str, ...], value: str
) -> None:
    found = _environment(internal_networks=networks)
    assert found["ALLOW_INTERNAL_IP_CONNECTIONS"] == value


def test_containers_go_anywhere_while_infisical_refuses_private_addresses() -> None:
    assert egress(settings_of()) is None


def test_containers_reach_no_private_address_until_infisical_refuses_them_itself() -> None:
    assert egress(settings_of(), calls_private=True) == Egress(())


def test_containers_reach_the_listed_networks_the_mail_server_and_the_proxy() -> None:
    settings = settings_of(
        internal_networks=("10.1.0.0/16", "10.1.2.0/24"),
        smtp={"host": "10.9.0.25", "from_address": "infisical@example.com"},
        outbound_proxy=_PROXY,
    )
    assert egress(settings) == Egress(("10.1.0.0/16",), (("", 3128), ("10.9.0.25", 587)))


def test_containers_reach_servers_that_other_settings_give_by_address() -> None:
    settings = settings_of(
        internal_networks=("10.1.0.0/16",),
        login={"gitlab": {"client_id": "fake", "address": "https://10.9.0.7"}},
        infisical_environment={
            "LICENSE_SERVER_URL": "https://[fd00::7]:8443",
            "OTEL_EXPORT_OTLP_ENDPOINT": "http://10.9.0.8/v1/metrics",
            "POSTHOG_HOST": "https://posthog.internal",
        },
    )
    found = egress(settings)
    assert found is not None
    assert {*found.services} == {("10.9.0.7", 443), ("fd00::7", 8443), ("10.9.0.8", 80)}


_GITLAB = {"gitlab": {"client_id": "fake", "address": "https://git.internal"}}


def _gitlab(**changes: Any) -> Settings:
    return settings_of(**{"internal_networks": ("10.1.0.0/16",), "login": _GITLAB} | changes)


@pytest.mark.parametrize("address", ["10.9.0.7", "fd00::7"])
def test_a_gitlab_at_a_private_address_that_is_not_listed_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="internal_networks") as refused:
        refuse_unreached(_gitlab(), {"git.internal": ["203.0.113.7", address]})
    assert refused.value.code == "settings.unreached"
    assert f"{address}, " in str(refused.value)


def test_listed_and_public_and_unknown_addresses_of_a_gitlab_are_not_refused() -> None:
    for addresses in (["10.1.0.7"], ["203.0.113.7", "2001:db8::7"], []):
        refuse_unreached(_gitlab(), {"git.internal": addresses})
    refuse_unreached(_gitlab(internal_networks=EVERYWHERE), {"git.internal": ["10.9.0.7"]})


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, {"git.internal": "login"}),
        ({"internal_networks": ()}, {}),
        ({"outbound_proxy": _PROXY}, {}),
        (
            {"outbound_proxy": _PROXY, "no_proxy": (".internal",)},
            {"git.internal": "login"},
        ),
        (
            {"license_key": "online"},
            {"git.internal": "login", "portal.infisical.com": "license_key"},
        ),
    ],
)
def test_names_are_looked_up_only_if_the_firewall_restricts_containers(
    changes: dict[str, Any], names: dict[str, str]
) -> None:
    assert direct_names(_gitlab(**changes)) == names


def test_the_host_finds_the_addresses_of_names() -> None:
    fact = HostAddresses()
    command = fact.command(["localhost", "git.invalid"])
    output = subprocess.run(["sh", "-c", command], capture_output=True, text=True).stdout
    found = fact.process(output.splitlines())
    assert {*found} == {"localhost"}
    assert {*found["localhost"]} <= {"127.0.0.1", "::1"}


def test_direct_hosts_without_a_proxy_are_refused() -> None:
    with pytest.raises(SettingsError, match="no_proxy") as refused:
        settings_of(no_proxy=("git.internal",))
    assert "outbound_proxy" in str(refused.value)


def test_networks_that_no_firewall_enforces_are_refused() -> None:
    with pytest.raises(SettingsError, match="internal_networks") as refused:
        refuse_unenforced(settings_of(internal_networks=("10.1.0.0/16",), firewall="off"))
    assert refused.value.code == "settings.unenforced"


@pytest.mark.parametrize(
    ("networks", "firewall"), [((), "off"), (EVERYWHERE, "off"), (("10.1.0.0/16",), "on")]
)
def test_no_network_and_all_networks_need_no_firewall(
    networks: tuple[str, ...], firewall: str
) -> None:
    refuse_unenforced(settings_of(internal_networks=networks, firewall=firewall))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("session_token_lifetime", "15"),
        ("session_token_lifetime", "15 minutes"),
        ("session_token_lifetime", "4m"),
        ("session_token_lifetime", "25h"),
        ("session_idle_lifetime", "14m"),
        ("session_idle_lifetime", "91d"),
        ("session_idle_lifetime", "0h"),
    ],
)
def test_a_lifetime_of_another_form_or_out_of_bounds_is_refused(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=key):
        settings_of(**{key: value})


def test_a_session_is_not_shorter_than_its_token() -> None:
    with pytest.raises(SettingsError, match="session_idle_lifetime is 60m"):
        settings_of(session_token_lifetime="2h", session_idle_lifetime="60m")


def test_infisical_gets_the_lifetimes_of_the_settings() -> None:
    found = _environment(session_token_lifetime="30m", session_idle_lifetime="8h")
    assert (found["JWT_AUTH_LIFETIME"], found["JWT_REFRESH_LIFETIME"]) == ("30m", "8h")
