"""Test `releases.sh` on the leader of a fake cluster whose images are pinned by digest."""

from pathlib import Path

import pytest

from infisical_iac.change.releases import RELEASES, list_version_changes
from infisical_iac.core.images import Images
from infisical_iac.stack.state import Upgrades
from tests.unit.fake_host import FakeHost, make_host

_DIGEST = f"sha256:{'6b' * 32}"
_INFISICAL = f"infisical/infisical:v0.165.16@{_DIGEST}"
_POSTGRES = f"ghcr.io/zalando/spilo-17:4.0-p3@{_DIGEST}"
_ID = f"sha256:{'1d' * 32}"
# `docker service ls` prints no digest, and an image that was pulled by one has no tag.
_DOCKER = f"""
"service ls"*--quiet*) echo id ;;
"service ls"*) echo 'infisical_infisical {_INFISICAL.partition("@")[0]}' ;;
"service inspect infisical_infisical") echo '[]' ;;
"service inspect"*)
    echo 'infisical_infisical {_INFISICAL}'
    for number in 1 2 3; do echo "infisical_postgres-$number {_POSTGRES}"; done
    ;;
"image inspect"*) case $last in *@sha256:*) echo {_ID} ;; *) exit 1 ;; esac ;;
"""


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    made = make_host(tmp_path)
    made.docker(_DOCKER)
    return made


def test_running_images_are_read_with_their_digests(host: FakeHost) -> None:
    said = host.run("releases", "inspect", _INFISICAL).stdout.splitlines()
    found = Upgrades().process(["database", *said])
    assert found.was == Images(_INFISICAL, _POSTGRES)
    assert found.same_bytes
    assert list_version_changes(found.was, Images(_INFISICAL, _POSTGRES), same_bytes=False) == {}


def test_a_release_keeps_the_images_by_their_ids(host: FakeHost) -> None:
    host.ok(("releases", "make", "20261130T101112Z-v0.165.16"))
    assert (host.read(f"{RELEASES}/20261130T101112Z-v0.165.16/images") or "").splitlines() == [
        f"infisical {_INFISICAL} {_ID}",
        f"postgres {_POSTGRES} {_ID}",
    ]
