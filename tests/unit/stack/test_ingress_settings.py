"""The settings of the way in: each bad value is refused by name, with what to write instead."""

from typing import Any

import pytest

from infisical_iac.core.errors import SettingsError
from tests.unit.settings_of import settings_of


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"ingress": "nowhere"},
            "'ingress': 'nowhere' is not accepted; write 'caddy', 'traefik'",
        ),
        ({"caddy_image": "caddy"}, "'caddy_image': 'caddy' names no version; write one such as"),
        ({"caddy_image": "caddy:latest"}, "'caddy:latest' names no version"),
        ({"caddy_image": "caddy:2; x"}, "names no version"),
        ({"acme_email": "nobody"}, "'acme_email': 'nobody' is no e-mail address"),
        ({"acme_ca": "zerossl"}, "'acme_ca': 'zerossl' is no authority; write letsencrypt, "),
        ({"acme_ca": "http://ca.example.com"}, "is no authority"),
        ({"acme_ca": "https://ca.example.com/a b"}, "is no authority"),
        ({"ui_networks": ("10.0.0.1/8",)}, "'ui_networks': '10.0.0.1/8' is no network"),
        ({"ui_networks": ("",)}, "'ui_networks': '' is no network"),
        ({"machine_networks": ("office",)}, "'machine_networks': 'office' is no network"),
        ({"traefik_network": "a b"}, "'traefik_network': 'a b' is no name"),
        ({"traefik_entrypoint": ""}, "'traefik_entrypoint': '' is no name"),
        ({"traefik_resolver": "`x`"}, "'traefik_resolver'"),
        ({"tls_key": "a.key"}, "tls_key is set without tls_certificate; set both, or neither"),
        ({"tls_certificate": "a.crt"}, "tls_certificate is set without tls_key"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_of(**change)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_good_values_are_taken() -> None:
    found = settings_of(
        caddy_image=f"registry.example.com:5000/caddy:2.10.2@sha256:{'a' * 64}",
        acme_ca="https://ca.example.com:9000/acme/directory",
        ui_networks=("192.0.2.7", "fd00::/8"),
    )
    assert found.stack.ui_networks == ("192.0.2.7/32", "fd00::/8")
    assert found.services["caddy"] == found.stack.caddy_image


@pytest.mark.parametrize(("ingress", "more"), [("traefik", ["caddy"]), ("none", [])])
def test_caddys_image_is_asked_for_only_where_caddy_runs(ingress: str, more: list[str]) -> None:
    assert list(settings_of(ingress=ingress).services) == ["infisical", "postgres", "redis", *more]
