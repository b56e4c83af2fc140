"""Test the versions of a host as the agent reports them."""

from typing import Any

from infisical_iac.core.images import Images
from infisical_iac.stack.state import FailedChange, UpgradeState, upgrade_question

_IMAGES = {
    "infisical": {
        "service": "infisical",
        "reference": "infisical/infisical:v0.165.16",
        "id": "sha256:a",
    },
    "postgres": {"service": "postgres", "reference": "postgres:17.11", "id": "sha256:b"},
}


def _read(**changes: Any) -> UpgradeState:
    said = {"database": True, "images": _IMAGES, "desired": "sha256:c", "failed": [], **changes}
    return upgrade_question("infisical/infisical:v0.166.0").read([said])


def test_the_running_version_is_read() -> None:
    assert _read() == UpgradeState(was=Images("infisical/infisical:v0.165.16", "postgres:17.11"))


def test_a_renamed_image_is_known_by_its_id() -> None:
    assert _read(desired="sha256:a").same_bytes


def test_a_missing_image_differs_from_the_running_image() -> None:
    gone = {**_IMAGES, "infisical": {**_IMAGES["infisical"], "id": ""}}
    assert not _read(images=gone, desired="").same_bytes


def test_images_without_a_database_do_not_count() -> None:
    assert _read(database=False) == UpgradeState()


def test_the_last_change_to_an_image_that_failed_is_read() -> None:
    image = "infisical/infisical:v0.166.0"
    failed = [
        {"release": f"2026110{day}T180000Z-v0.164.0", "at": f"2026-11-0{day}T18:01:00Z"}
        for day in (1, 2)
    ]
    found = _read(failed=[{**each, "image": image} for each in failed])
    assert found.failed == {
        image: FailedChange("20261102T180000Z-v0.164.0", "2026-11-02T18:01:00Z")
    }
