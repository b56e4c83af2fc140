"""Test that an invalid setting of the ingress is refused by its name, with accepted values."""

from typing import Any

import pytest

from infisical_iac.core.errors import SettingsError
from tests.unit.settings_of import settings_of


@pytest.mark.parametrize(
    ("key", "value", "fact"),
    [
        ("ingress", "nowhere", "'nowhere' is not accepted"),
        ("caddy_image", "caddy", "'caddy' names no version"),
        ("caddy_image", "caddy:latest", "'caddy:latest' names no version"),
        ("caddy_image", "caddy:2; x", "'caddy:2; x' names no version"),
        ("acme_email", "nobody", "'nobody' … not an e-mail"),
        ("acme_ca", "zerossl", "'zerossl' … is not an authority"),
        ("acme_ca", "http://ca.example.com", "is not an authority"),
        ("acme_ca", "https://ca.example.com/a b", "is not an authority"),
        ("ui_networks", ("10.0.0.1/8",), "'10.0.0.1/8' is not a network"),
        ("ui_networks", ("",), "'' … is not a network"),
        ("machine_networks", ("office",), "'office' … is not a network"),
        ("traefik_network", "a b", "is not a name"),
        ("traefik_entrypoint", "", "'' … is not a name"),
        ("traefik_resolver", "`x`", "'`x`' … is not a name"),
    ],
)
def test_an_ingress_setting_that_cannot_work_is_refused_by_its_key(
    key: str, value: object, fact: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_of(**{key: value})
    assert str(refusal.value).startswith(f"setting {key!r}: ")
    assert all(part in str(refusal.value) for part in fact.split(" … "))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"tls_key": "a.key"}, "tls_key is set without tls_certificate;"),
        ({"tls_certificate": "a.crt"}, "tls_certificate is set without tls_key;"),
    ],
)
def test_a_certificate_and_its_key_are_refused_without_each_other(
    change: dict[str, Any], fact: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_of(**change)
    assert fact in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_valid_values_are_accepted() -> None:
    found = settings_of(
        caddy_image=f"registry.example.com:5000/caddy:2.10.2@sha256:{'a' * 64}",
        acme_ca="https://ca.example.com:9000/acme/directory",
        ui_networks=("192.0.2.7", "fd00::/8"),
    )
    assert found.stack.ui_networks == ("192.0.2.7/32", "fd00::/8")
    assert found.services["caddy"] == found.stack.caddy_image


@pytest.mark.parametrize(("ingress", "more"), [("traefik", ["caddy"]), ("none", [])])
def test_the_image_of_caddy_is_needed_only_if_caddy_runs(ingress: str, more: list[str]) -> None:
    assert list(settings_of(ingress=ingress).services) == ["infisical", "postgres", "redis", *more]
