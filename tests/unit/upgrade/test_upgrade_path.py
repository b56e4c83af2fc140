"""Which changes of version are one, which are refused, and whether they fit."""

import pytest

from infisical_iac.upgrade.path import (
    Images,
    Room,
    UpgradeError,
    changes,
    images_of,
    port_of,
    refuse,
    refuse_older_postgres,
    refuse_room,
)

_MIB = 1024


def _images(version: str, postgres: str = "postgres:17.11") -> Images:
    return Images(f"infisical/infisical:{version}", postgres)


def test_the_images_of_a_compose_file_are_read() -> None:
    compose = "services:\n  infisical: {image: a/b:v1.2.3}\n  postgres: {image: 'postgres:17.1'}\n"
    assert images_of(compose) == Images("a/b:v1.2.3", "postgres:17.1")


def test_the_port_of_a_compose_file_is_read() -> None:
    compose = 'services:\n  infisical: {ports: ["127.0.0.1:8090:8080"]}\n'
    assert port_of(compose) == 8090


def test_a_registry_with_a_port_and_a_digest_are_no_version() -> None:
    digest = "sha256:" + "a" * 64
    found = Images(f"registry.example:5000/infisical:v1.2.3@{digest}", f"postgres:17.1@{digest}")
    assert (found.version, found.major) == ("v1.2.3", 17)


@pytest.mark.parametrize(
    ("was", "wanted", "found"),
    [
        (_images("v0.165.16"), _images("v0.165.16"), {}),
        (_images("v0.165.16"), _images("v0.165.16", "postgres:17.12"), {}),
        (_images("v0.165.16"), _images("v0.166.2"), {"Infisical": "v0.165.16 → v0.166.2"}),
        (
            _images("v0.165.16"),
            Images("mirror/infisical:v0.165.16", "postgres:17.11"),
            {"Infisical": "infisical/infisical:v0.165.16 → mirror/infisical:v0.165.16"},
        ),
        (
            _images("v0.165.16"),
            _images("v0.165.16", "postgres:18.6"),
            {"PostgreSQL": "17 → 18, by dump and restore"},
        ),
    ],
)
def test_what_changes_is_told_from_what_to_what(
    was: Images, wanted: Images, found: dict[str, str]
) -> None:
    assert changes(was, wanted, same_bytes=False) == found


def test_another_name_of_the_same_image_is_no_change() -> None:
    wanted = Images("mirror/infisical:v0.165.16", "postgres:17.11")
    assert changes(_images("v0.165.16"), wanted, same_bytes=True) == {}


@pytest.mark.parametrize(
    ("was", "wanted", "reason"),
    [
        (_images("v0.166.2"), _images("v0.165.16"), "`infisical-iac rollback` goes back"),
        (_images("v0.165.16", "postgres:18.6"), _images("v0.165.16"), "from 18 to 17"),
        (_images("v0.109.0"), _images("v0.110.0"), "which v0.111.0 repaired"),
        (_images("v0.93.1-postgres"), _images("v0.165.16"), "Invalid root key encryption"),
        (_images("v0.95.0"), _images("v0.100.0"), "do not migrate the database by themselves"),
    ],
)
def test_a_change_that_would_break_is_refused_with_the_reason(
    was: Images, wanted: Images, reason: str
) -> None:
    with pytest.raises(UpgradeError, match=reason):
        refuse(was, wanted)


def test_other_changes_are_let_through() -> None:
    for was, wanted in (
        (_images("v0.165.16"), _images("v0.165.16")),
        (_images("v0.165.9"), _images("v0.165.16")),
        (_images("v0.112.0-postgres"), _images("v0.166.2", "postgres:18.6")),
    ):
        refuse(was, wanted)


def test_todays_data_are_not_kept_for_an_older_postgresql() -> None:
    was = _images("v0.165.16", "postgres:18.6")
    refuse_older_postgres(was, _images("v0.165.10", "postgres:18.1"), "go back without it")
    with pytest.raises(UpgradeError, match=r"from 18 to 17: .*; go back without it"):
        refuse_older_postgres(was, _images("v0.165.16"), "go back without it")


def test_a_change_needs_room_for_dump_database_and_images() -> None:
    data, images = 1000 * _MIB, 500 * _MIB
    enough = 2 * (data + 256 * _MIB) + images
    refuse_room(Room(enough, enough, shared=True, data=data), images=images)
    with pytest.raises(UpgradeError, match=r"3012 MB .* the host's disk has 3011 MB free"):
        refuse_room(Room(enough - 1, enough - 1, shared=True, data=data), images=images)


def test_each_of_two_disks_needs_its_own_part() -> None:
    volumes, dump = 1256 * _MIB, 1256 * _MIB
    refuse_room(Room(volumes, dump, shared=False, data=1000 * _MIB), images=0)
    with pytest.raises(UpgradeError, match="/var/backups has 1255 MB free"):
        refuse_room(Room(volumes, dump - 1, shared=False, data=1000 * _MIB), images=0)
