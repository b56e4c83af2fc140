"""Test what the host says of its versions, as read."""

from infisical_iac.core.images import Images
from infisical_iac.stack.state import FailedChange, Upgrades, UpgradeState

_READ = [
    "database",
    "image infisical infisical/infisical:v0.165.16 sha256:a",
    "image postgres postgres:17.11 sha256:b",
]


def test_what_runs_is_read() -> None:
    found = Upgrades().process([*_READ, "wanted sha256:c"])
    assert found == UpgradeState(was=Images("infisical/infisical:v0.165.16", "postgres:17.11"))


def test_an_image_that_is_wanted_by_another_name_is_known_by_its_id() -> None:
    assert Upgrades().process([*_READ, "wanted sha256:a"]).same_bytes


def test_an_image_that_is_not_there_is_not_the_same() -> None:
    gone = "image infisical infisical/infisical:v0.165.16 "
    assert not Upgrades().process([_READ[0], gone, _READ[2], "wanted "]).same_bytes


def test_without_data_nothing_was_used_with_them() -> None:
    assert Upgrades().process(_READ[1:]) == UpgradeState()


def test_the_last_change_to_an_image_that_failed_is_read() -> None:
    found = Upgrades().process(
        [
            "failed 20261101T180000Z-v0.164.0 2026-11-01T18:01:00Z infisical/infisical:v0.166.0",
            "failed 20261102T180000Z-v0.164.0 2026-11-02T18:01:00Z infisical/infisical:v0.166.0",
        ]
    )
    image = "infisical/infisical:v0.166.0"
    assert found.failed == {
        image: FailedChange("20261102T180000Z-v0.164.0", "2026-11-02T18:01:00Z")
    }
