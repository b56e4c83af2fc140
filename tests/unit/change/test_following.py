"""Test the report of settings that differ from the running versions after a rollback."""

from infisical_iac.change.releases import describe_other_ingress, list_settings_to_change
from infisical_iac.core.images import Images
from infisical_iac.stack.model import IngressAndPort
from tests.unit.settings_of import settings_of


def test_settings_that_match_are_not_reported() -> None:
    chosen = settings_of(infisical_version="v0.165.16", postgres_image="postgres:17.11")
    runs = Images(chosen.stack.infisical_reference, "postgres:17.11")
    assert list_settings_to_change(runs, chosen.stack) == []
    assert (
        list_settings_to_change(
            Images("infisical/infisical:v0.165.16", "postgres:17.11"), chosen.stack
        )
        == []
    )
    assert describe_other_ingress(IngressAndPort("caddy", 8080), chosen) == []


def test_each_setting_to_change_is_named_with_its_value() -> None:
    old = Images("infisical/infisical:v0.164.0", "postgres:16.4")
    (sentence,) = list_settings_to_change(old, settings_of().stack)
    assert 'infisical_version = "v0.164.0"' in sentence
    assert 'postgres_image = "postgres:16.4"' in sentence


def test_another_ingress_is_reported_with_the_changes_of_the_next_apply() -> None:
    desired = settings_of(ingress="caddy", http_port=8080)
    port, kind = describe_other_ingress(IngressAndPort("none", 8090), desired)
    assert all(each in port for each in ("8090", "8080"))
    assert all(each in kind for each in ("'none'", "'caddy'"))
