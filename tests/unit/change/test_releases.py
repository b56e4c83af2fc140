"""Test how the releases on a host are parsed, chosen and removed."""

import json

import pytest

from infisical_iac.agent.releases import KeptRelease, ServiceImage
from infisical_iac.change.releases import (
    Release,
    UnfinishedChange,
    choose,
    find_surplus,
    parse_unfinished,
    read_releases,
    refuse_other_schema,
)
from infisical_iac.core.errors import Refused

_MANIFEST = json.dumps(
    {
        "format": 1,
        "at": "2026-11-25T18:00:00Z",
        "host": "vault",
        "infisical": {"version": "v0.165.16"},
        "postgresql": {"version": "17.11"},
        "encryption_key": "0123456789abcdef",
        "rows": {"infisical_migrations": 473},
        "dump": {"sha256": "00", "bytes": 6000, "tables": 700},
    }
)


def _kept(name: str, version: str, manifest: str = "") -> KeptRelease:
    images = (
        ServiceImage("infisical", f"infisical/infisical:{version}", f"sha256:{version}"),
        ServiceImage("postgres", "postgres:17.11", "sha256:postgres"),
        ServiceImage("redis", "redis:8.2.3", "sha256:redis"),
    )
    return KeptRelease(name, images, manifest)


def _releases() -> list[Release]:
    return read_releases(
        [
            _kept("20261101T000000Z-v0.163.0", "v0.163.0", _MANIFEST),
            _kept("20261110T000000Z-v0.164.0", "v0.164.0"),
            _kept("20261120T000000Z-v0.165.0", "v0.165.0", _MANIFEST),
        ]
    )


def test_releases_are_read_with_the_newest_first() -> None:
    newest, failed, _ = _releases()
    assert newest.name == "20261120T000000Z-v0.165.0"
    assert newest.images["infisical"] == "infisical/infisical:v0.165.0"
    assert newest.ids["redis"] == "sha256:redis"
    assert (newest.runs.version, newest.runs.major) == ("v0.165.0", 17)
    assert (newest.migrations, newest.bytes) == (473, 6000)
    assert (failed.manifest, failed.migrations) == (None, 0)


def test_a_release_with_an_unreadable_manifest_cannot_be_chosen() -> None:
    (found,) = read_releases([_kept("a", "v1.0.0", "{}")])
    assert found.manifest is None


def test_the_newest_whole_release_is_chosen_unless_another_is_named() -> None:
    assert choose(_releases(), None).name == "20261120T000000Z-v0.165.0"
    assert choose(_releases(), "20261101T000000Z-v0.163.0").name.endswith("v0.163.0")


@pytest.mark.parametrize(
    "name", ["20261110T000000Z-v0.164.0", "nothing"], ids=["incomplete", "unknown"]
)
def test_an_incomplete_or_unknown_release_cannot_be_chosen(name: str) -> None:
    with pytest.raises(Refused, match=f"'{name}' .*: see `infisical-iac rollback --list`") as no:
        choose(_releases(), name)
    assert no.value.code == "refused.unknown_release"


def test_a_choice_among_no_releases_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        choose([], None)
    assert refused.value.code == "refused.no_release"


def test_data_of_another_schema_are_not_kept_for_a_release() -> None:
    release = _releases()[0]
    refuse_other_schema(release, 473)
    with pytest.raises(Refused, match=r"474 migrations .* 473: .* without --keep-data"):
        refuse_other_schema(release, 474)


def test_the_oldest_releases_are_removed_with_images_that_no_other_release_has() -> None:
    found = find_surplus(_releases(), 1, needed={"infisical/infisical:v0.166.0"})
    assert found.releases == ["20261101T000000Z-v0.163.0"]
    assert found.images == ["infisical/infisical:v0.163.0"]


def test_an_image_that_is_in_use_is_kept() -> None:
    found = find_surplus(_releases(), 1, needed={"infisical/infisical:v0.163.0"})
    assert found.images == []


def test_failed_changes_do_not_count_as_kept_releases() -> None:
    assert find_surplus(_releases(), 2, needed=set()).releases == []


def test_an_unfinished_change_is_parsed() -> None:
    state = "20261125T180000Z-v0.165.16 paused infisical/infisical:v0.166.0"
    assert parse_unfinished(state) == UnfinishedChange(*state.split())
    assert parse_unfinished("") is None
