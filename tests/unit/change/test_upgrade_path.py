"""Test which changes of version are found, and which are refused for their data or space."""

import pytest

from infisical_iac.agent.releases import DiskRoom as Disk
from infisical_iac.agent.releases import Room
from infisical_iac.change.releases import (
    check_free_space,
    list_version_changes,
    refuse_change,
    refuse_older_postgres,
    refuse_other_major,
)
from infisical_iac.core.errors import Refused
from infisical_iac.core.images import Images
from infisical_iac.host.model import MachineState
from infisical_iac.stack.compose import compose_file
from infisical_iac.stack.model import images_of, ingress_of, port_of
from tests.unit.settings_of import settings_of

_MIB = 1024


def _images(version: str, postgres: str = "postgres:17.11") -> Images:
    return Images(f"infisical/infisical:{version}", postgres)


def test_the_images_of_a_compose_file_are_read() -> None:
    compose = "services:\n  infisical: {image: a/b:v1.2.3}\n  postgres: {image: 'postgres:17.1'}\n"
    assert images_of(compose) == Images("a/b:v1.2.3", "postgres:17.1")


def test_the_port_of_a_compose_file_is_read() -> None:
    compose = 'services:\n  infisical: {ports: ["127.0.0.1:8090:8080"]}\n'
    assert port_of(compose) == 8090


def test_the_port_of_a_stack_is_that_of_its_proxy() -> None:
    stack = "services:\n  haproxy: {ports: [{target: 8080, published: 8090}]}\n  infisical: {}\n"
    assert port_of(stack) == 8090


@pytest.mark.parametrize(
    "image", ["ghcr.io/zalando/spilo-17:4.0-p2", "staging/patroni:17", "patroni:17.6-4.0.7"]
)
def test_an_image_of_patroni_has_the_major_version_of_its_postgresql(image: str) -> None:
    assert _images("v1.2.3", image).major == 17


def test_another_major_version_is_refused_on_a_cluster() -> None:
    was = _images("v1.2.3", "ghcr.io/zalando/spilo-16:3.3-p1")
    refuse_other_major(was, _images("v1.3.0", "ghcr.io/zalando/spilo-16:3.3-p2"))
    with pytest.raises(Refused, match=r"from 16 to 17: .*`infisical-iac scale-in`") as refused:
        refuse_other_major(was, _images("v1.2.3", "ghcr.io/zalando/spilo-17:4.0-p2"))
    assert refused.value.code == "refused.other_postgres"


@pytest.mark.parametrize("kind", ["caddy", "traefik", "none"])
def test_the_ingress_of_a_compose_file_is_read(kind: str) -> None:
    chosen = settings_of(ingress=kind, http_port=9000)
    compose = compose_file(chosen, MachineState(os="debian", release="13"))
    assert ingress_of(compose) == (kind, 9000)


def test_traefik_without_caddy_is_another_ingress() -> None:
    """A rollback to a release that was deployed without Caddy must not expect a Caddy."""
    compose = "services: {infisical: {labels: {traefik.enable: 'true'}, ports: ['127.0.0.1:1:2']}}"
    assert ingress_of(compose) == ("traefik without Caddy", 1)


def test_a_registry_with_a_port_and_a_digest_are_not_a_version() -> None:
    digest = "sha256:" + "a" * 64
    found = Images(f"registry.example:5000/infisical:v1.2.3@{digest}", f"postgres:17.1@{digest}")
    assert (found.version, found.major) == ("v1.2.3", 17)


@pytest.mark.parametrize(
    ("was", "desired", "found"),
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
def test_each_change_has_the_old_and_the_new_version(
    was: Images, desired: Images, found: dict[str, str]
) -> None:
    assert list_version_changes(was, desired, same_bytes=False) == found


def test_another_name_of_the_same_image_is_not_a_change() -> None:
    desired = Images("mirror/infisical:v0.165.16", "postgres:17.11")
    assert list_version_changes(_images("v0.165.16"), desired, same_bytes=True) == {}


@pytest.mark.parametrize(
    ("was", "desired", "code", "fact"),
    [
        (_images("v0.166.2"), _images("v0.165.16"), "older_release", "`infisical-iac rollback`"),
        (
            *(_images("v0.165.16", "postgres:18.6"), _images("v0.165.16")),
            *("older_postgres", "from 18 to 17: .*`infisical-iac rollback`"),
        ),
        (_images("v0.109.0"), _images("v0.110.0"), "broken_release", r"v0\.111\.0"),
        (
            *(_images("v0.93.1-postgres"), _images("v0.165.16")),
            *("crossing", r"v0\.94\.0 .*'Invalid root key encryption strategy'"),
        ),
        (_images("v0.95.0"), _images("v0.100.0"), "no_migration", r"v0\.111\.0"),
    ],
)
def test_a_change_that_would_break_the_data_is_refused_with_the_reason(
    was: Images, desired: Images, code: str, fact: str
) -> None:
    with pytest.raises(Refused, match=fact) as refused:
        refuse_change(was, desired)
    assert refused.value.code == f"refused.{code}"


def test_other_changes_are_allowed() -> None:
    for was, desired in (
        (_images("v0.165.16"), _images("v0.165.16")),
        (_images("v0.165.9"), _images("v0.165.16")),
        (_images("v0.112.0-postgres"), _images("v0.166.2", "postgres:18.6")),
    ):
        refuse_change(was, desired)


def test_current_data_are_not_kept_for_an_older_postgresql() -> None:
    was = _images("v0.165.16", "postgres:18.6")
    refuse_older_postgres(was, _images("v0.165.10", "postgres:18.1"), "go back without it")
    with pytest.raises(Refused, match=r"from 18 to 17: .*; go back without it"):
        refuse_older_postgres(was, _images("v0.165.16"), "go back without it")


def test_a_change_needs_space_for_dump_database_and_images() -> None:
    data, images = 1000 * _MIB, 500 * _MIB
    enough = 2 * (data + 256 * _MIB) + images
    check_free_space(_free_space(enough, data=data), images=images)
    with pytest.raises(Refused, match=r"3012 MB .* the host's disk has 3011 MB free"):
        check_free_space(_free_space(enough - 1, data=data), images=images)


def test_volumes_of_data_given_up_are_named_where_the_disk_is_full() -> None:
    space, aside = _free_space(1, data=1000 * _MIB), ["infisical_postgres_given_up_x"]
    with pytest.raises(Refused, match=r"given up \(infisical_postgres_given_up_x\)"):
        check_free_space(space, images=0, aside=aside)


def _free_space(free: int, *, data: int) -> Room:
    """Return the free space of a single disk, which got fuller while it was read."""
    return Room(Disk(1, free + 4), Disk(1, free), Disk(1, free + 2), data)


def test_each_disk_needs_space_for_its_own_part() -> None:
    part, plenty = 1256 * _MIB, 9999 * _MIB
    for images, volumes, releases, output in (
        (Disk(1, 499 * _MIB), Disk(2, plenty), Disk(3, plenty), "of Docker's images has 499 MB"),
        (Disk(1, plenty), Disk(2, part - 1), Disk(1, plenty), "of Docker's volumes has 1255 MB"),
        (Disk(1, plenty), Disk(1, plenty), Disk(2, part - 1), "of /var/backups has 1255 MB free"),
        (
            *(Disk(1, plenty), Disk(2, 2 * part - 1), Disk(2, 2 * part - 1)),
            "of Docker's volumes and /var/backups has 2511 MB free",
        ),
    ):
        with pytest.raises(Refused, match=f"the disk {output}"):
            check_free_space(Room(images, volumes, releases, 1000 * _MIB), images=500 * _MIB)
    just_enough = Room(Disk(1, 500 * _MIB), Disk(2, part), Disk(3, part), 1000 * _MIB)
    check_free_space(just_enough, images=500 * _MIB)
