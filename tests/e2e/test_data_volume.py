"""Test data on a volume: another host that gets the volume continues with the data."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from infisical_iac.agent import volume
from infisical_iac.core.agent import perform, question
from infisical_iac.core.errors import UserError
from tests.e2e.drift import DATA_VOLUME, KEYS
from tests.e2e.inspection import PROJECT, deployer, env_file, write_secrets
from tests.e2e.running import REPOSITORY, deploy
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_SECRET = {"OBVIOUSLY_FAKE": "fake-value"}
_HOST_TESTS = "tests/host/test_volume.py"
_KEYS = "cd /etc/infisical/keys && sha256sum *"


@dataclass(frozen=True)
class Moved:
    """A deployed host with a volume, and a bare host that gets the volume."""

    old: StagingHost
    new: StagingHost
    device: str

    def deploy(self, host: StagingHost) -> list[str]:
        """Deploy with the volume, and return what changed."""
        return deploy(host.name, data={"data_volume": self.device}).ok().changed


def _release(host: StagingHost) -> None:
    perform(question(volume.release), doing="release the volume", send=host.send)


@pytest.fixture(scope="module")
def hosts(images: None, worker_id: str) -> Iterator[Moved]:
    """Two bare hosts, and a blank block device for either of them."""
    old, new = (StagingHost(f"volume-{worker_id}-{name}") for name in ("old", "new"))
    for host in (old, new):
        host.down()
        host.up()
    old.run("truncate --size 1G /srv/volume.img")
    device = old.run("losetup --find --show /srv/volume.img").stdout.strip()
    for host in (old, new):
        host.run(f"test -b {device} || mknod {device} b 7 {device.removeprefix('/dev/loop')}")
    yield Moved(old, new, device)
    for host in (old, new):
        with suppress(UserError):
            _release(host)
    old.run(f"losetup --detach {device}", check=False)
    for host in (old, new):
        host.down()


def test_a_data_volume_brings_keys_and_secrets_to_another_host(hosts: Moved) -> None:
    old, new = hosts.old, hosts.new
    assert DATA_VOLUME in hosts.deploy(old)
    assert hosts.deploy(old) == []
    write_secrets(old, "/backend", _SECRET)
    keys = old.run(_KEYS).stdout
    administrator = env_file(old, "/etc/infisical/admin.env")

    _release(old)
    left = old.run("ls -A /etc/infisical /var/lib/docker/volumes | grep -v :").stdout.split()
    assert left == []
    docker = old.run("systemctl is-active docker.service", check=False).stdout
    assert docker == "inactive\n"

    assert KEYS not in hosts.deploy(new)
    assert new.run(_KEYS).stdout == keys
    assert env_file(new, "/etc/infisical/admin.env") == administrator
    with deployer(new) as client:
        project = client.get(f"/api/v1/projects/slug/{PROJECT}")["id"]
        place = {"projectId": project, "environment": "production", "secretPath": "/backend"}
        found = client.get("/api/v4/secrets/OBVIOUSLY_FAKE", params=place)["secret"]
    assert found["secretValue"] == _SECRET["OBVIOUSLY_FAKE"]
    assert hosts.deploy(new) == []


def test_the_host_suite_finds_the_data_on_the_volume(hosts: Moved) -> None:
    done = subprocess.run(
        f"{sys.executable} -m pytest -q {_HOST_TESTS} --inventory inventory/staging.py".split(),
        cwd=REPOSITORY,
        env=os.environ | {"STAGING_HOST": hosts.new.name, "INFISICAL_DATA_VOLUME": hosts.device},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_deploy_to_a_host_without_its_volume_is_refused(hosts: Moved) -> None:
    run = deploy(hosts.new.name, yes=False)
    assert run.status == 1
    assert "volume with UUID" in run.sentence


def test_an_unmounted_directory_is_mounted_from_the_volume_again(hosts: Moved) -> None:
    hosts.new.run("umount /var/lib/infisical-upgrade && systemctl disable --quiet infisical-data")
    assert hosts.deploy(hosts.new) == [DATA_VOLUME]
    assert hosts.deploy(hosts.new) == []
