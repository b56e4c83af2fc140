"""Test the versions that a host reports, its releases, and the space that a change may take."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from infisical_iac.agent import releases
from infisical_iac.agent.data import MAIN
from infisical_iac.agent.releases import RELEASES, FailedRelease, ServiceImage
from infisical_iac.agent.runner import Output
from tests.unit.agent.fake_engine import FakeEngine
from tests.unit.agent.fake_runner import FakeRunner

_RELEASE = "20261130T101112Z-v0.165.16"
_DIGEST = f"sha256:{'6b' * 32}"
_INFISICAL = f"infisical/infisical:v0.165.16@{_DIGEST}"
_POSTGRES = f"ghcr.io/zalando/spilo-17:4.0-p3@{_DIGEST}"
_ID = f"sha256:{'1d' * 32}"


def _spec(name: str, image: str) -> str:
    spec: dict[str, Any] = {"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": image}}}
    return f"{json.dumps(spec)}\n"


@pytest.fixture
def leader(tmp_path: Path) -> FakeRunner:
    """The leader of a cluster whose images are pinned by digest, and so have no tag."""
    specs = [_spec("infisical_infisical", _INFISICAL)]
    specs += [_spec(f"infisical_postgres-{number}", _POSTGRES) for number in (1, 2, 3)]
    return FakeRunner(
        tmp_path,
        {
            "docker --version": "Docker version 27",
            "docker volume ls": "infisical_patroni\n",
            "docker volume inspect": '{"Name": "infisical_patroni"}\n',
            "docker service ls": "id\n",
            "docker service inspect --format": "".join(specs),
            "docker service inspect": "[]",
            f"docker image inspect --format {{{{json .Id}}}} {_INFISICAL}": f'"{_ID}"\n',
            f"docker image inspect --format {{{{json .Id}}}} {_POSTGRES}": f'"{_ID}"\n',
            "docker image inspect": Output(1),
            "docker tag": "",
        },
    )


def test_a_cluster_reports_its_images_with_their_digests(leader: FakeRunner) -> None:
    found = releases.inspect(leader, desired=_INFISICAL)
    assert found.database
    assert found.desired == _ID
    assert found.images == {
        "infisical": ServiceImage("infisical", _INFISICAL, _ID),
        "postgres": ServiceImage("postgres", _POSTGRES, _ID),
    }


def test_a_release_keeps_the_images_by_their_ids(leader: FakeRunner) -> None:
    releases.make(leader, release=_RELEASE)
    (kept,) = releases.kept(leader)
    assert kept.name == _RELEASE
    assert [(each.reference, each.id) for each in kept.images] == [
        (_INFISICAL, _ID),
        (_POSTGRES, _ID),
    ]
    tags = [line.split()[3] for line, _ in leader.ran if line.startswith("docker tag")]
    assert tags == [f"infisical-iac/kept:{_RELEASE}-{each}" for each in ("infisical", "postgres")]


@pytest.fixture
def host(tmp_path: Path) -> FakeEngine:
    made = FakeEngine(
        tmp_path / "host",
        {
            "docker --version": "Docker version 27",
            "docker image inspect --format {{json .Id}} gone": Output(1),
            "docker image inspect": '"sha256:known"\n',
            "docker service": Output(1),
            "docker tag": "",
        },
    )
    made.volume(MAIN, base="old")
    return made


def test_a_host_without_docker_reports_nothing(tmp_path: Path) -> None:
    assert releases.inspect(FakeRunner(tmp_path), desired="x") == releases.RunningVersions()


def test_the_containers_count_before_the_file(host: FakeEngine) -> None:
    text = 'services:\n  infisical:\n    image: other:2\n  caddy:\n    image: "caddy:2"\n'
    host.write("/etc/infisical/compose.yaml", text)
    found = releases.inspect(host, desired="infisical:2").images
    assert found["infisical"] == ServiceImage("infisical", "infisical:1", "sha256:infisical")
    assert found["caddy"] == ServiceImage("caddy", "caddy:2", "sha256:known")


def test_failed_changes_are_reported(host: FakeEngine) -> None:
    host.write(f"{RELEASES}/{_RELEASE}/failed", "2026-11-30T10:12:00Z infisical:2\n")
    assert releases.inspect(host, desired="infisical:2").failed == (
        FailedRelease(_RELEASE, "2026-11-30T10:12:00Z", "infisical:2"),
    )


def test_images_of_a_release_get_their_names_back(host: FakeEngine) -> None:
    lines = f"infisical infisical:1 sha256:a\npostgres postgres@{_DIGEST} sha256:b\nredis gone \n"
    host.write(f"{RELEASES}/{_RELEASE}/images", lines)
    assert releases.reset(host, release=_RELEASE) == ["gone"]
    assert [line for line, _ in host.ran if "tag" in line] == ["docker tag sha256:a infisical:1"]


def test_only_images_that_nothing_uses_are_removed(host: FakeEngine) -> None:
    releases.drop(host, images=["infisical:1", "infisical:0"])
    removed = [line for line, _ in host.ran if line.startswith("docker image rm")]
    assert removed == ["docker image rm infisical:0"]


def test_free_space_of_a_data_volume_is_measured_there(tmp_path: Path) -> None:
    # /dev/shm is another file system than the test's directory, as a data volume would be.
    with TemporaryDirectory(dir="/dev/shm") as data:
        inspected = {"Name": MAIN, "Mountpoint": data}
        host = FakeRunner(
            Path("/"),
            {
                "docker info": json.dumps(str(tmp_path)),
                "docker volume ls": f"{MAIN}\n",
                "docker volume inspect": f"{json.dumps(inspected)}\n",
            },
        )
        (Path(data) / "base").write_bytes(bytes(300 * 1024))
        (Path(data) / "pg_wal").mkdir()
        (Path(data) / "pg_wal" / "segment").write_bytes(bytes(900 * 1024))
        found = releases.free_space(host)
        assert found.images.device == os.stat(tmp_path).st_dev
        assert found.volumes.device == os.stat(data).st_dev != found.images.device
        assert min(found.images.free, found.volumes.free, found.releases.free) > 0
        assert 300 <= found.data < 400


def test_only_ids_are_asked_for(tmp_path: Path) -> None:
    host = FakeEngine(tmp_path)
    host.writes[0] = "one\n"
    asked = ["one", "two'); DROP TABLE secrets_v2; --"]
    assert releases.present(host, ids=asked) == ["one"]
    assert host.ran[-1][1] == "SELECT id FROM secrets_v2 WHERE id::text IN ('one')"
    assert releases.present(host, ids=["no id!"]) == []
