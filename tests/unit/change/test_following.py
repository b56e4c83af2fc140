"""Test what a rollback says of settings that differ from what serves again."""

from infisical_iac.change.releases import differing, moved
from infisical_iac.core.images import Images
from infisical_iac.stack.model import WayIn
from tests.unit.settings_of import settings_of


def test_nothing_is_said_of_what_is_as_the_settings_have_it() -> None:
    chosen = settings_of(infisical_version="v0.165.16", postgres_image="postgres:17.11")
    runs = Images(chosen.stack.infisical_reference, "postgres:17.11")
    assert differing(runs, chosen.stack) == []
    assert differing(Images("infisical/infisical:v0.165.16", "postgres:17.11"), chosen.stack) == []
    assert moved(WayIn("caddy", 8080), chosen) == []


def test_each_setting_that_must_follow_is_named_with_its_value() -> None:
    told = differing(Images("infisical/infisical:v0.164.0", "postgres:16.4"), settings_of().stack)
    assert told == [
        'Set infisical_version = "v0.164.0" and postgres_image = "postgres:16.4" in group_data/, '
        "or the next apply upgrades again."
    ]


def test_another_way_in_is_told_with_what_the_next_apply_makes_of_it() -> None:
    assert moved(WayIn("none", 8090), settings_of(ingress="caddy", http_port=8080)) == [
        "It is on port 8090 again: the next apply moves it to 8080, the http_port.",
        "Its ingress is 'none' again, as it was then: the next apply brings 'caddy'.",
    ]
