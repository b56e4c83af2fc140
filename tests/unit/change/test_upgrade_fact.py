"""Test the parser of the versions that the host reports."""

from infisical_iac.core.images import Images
from infisical_iac.stack.state import FailedChange, Upgrades, UpgradeState

_READ = [
    "database",
    "image infisical infisical/infisical:v0.165.16 sha256:a",
    "image postgres postgres:17.11 sha256:b",
]


def test_the_running_version_is_read() -> None:
    found = Upgrades().process([*_READ, "desired sha256:c"])
    assert found == UpgradeState(was=Images("infisical/infisical:v0.165.16", "postgres:17.11"))


def test_a_renamed_image_is_known_by_its_id() -> None:
    assert Upgrades().process([*_READ, "desired sha256:a"]).same_bytes


def test_a_missing_image_differs_from_the_running_image() -> None:
    gone = "image infisical infisical/infisical:v0.165.16 "
    assert not Upgrades().process([_READ[0], gone, _READ[2], "desired "]).same_bytes


def test_images_without_a_database_do_not_count() -> None:
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
