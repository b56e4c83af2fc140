"""Test images from registries: by tag and digest, with a login, and errors in one sentence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.core.images import tag_of
from tests.e2e import registries
from tests.e2e.backing import inventory
from tests.e2e.conftest import assert_converged
from tests.e2e.inspection import containers
from tests.e2e.registries import MIRROR, PASSWORD, PRIVATE, USER, WRONG
from tests.e2e.running import Done, deploy, infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

# No official release has these versions, so no known digest is added to them.
_POSTGRES, _REDIS = "postgres:17.999", "redis:8.999"


@pytest.fixture(scope="module")
def host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host with its registries; the mirror has the images of the stack by official names."""
    with registries.run_all(deployed_host):
        yield deployed_host
    deploy(deployed_host.name).ok()
    assert_converged(deployed_host)


@pytest.fixture(scope="module")
def version(host: StagingHost) -> str:
    """The version of Infisical that runs, because a newer one could not be rolled back."""
    image = host.run("docker inspect --format '{{.Config.Image}}' infisical-infisical-1").stdout
    return tag_of(image.strip())


@pytest.fixture(scope="module")
def digests(host: StagingHost, version: str) -> dict[str, str]:
    """The digests of the images in the mirror, by the name of the service."""
    names = {
        "infisical": f"infisical/infisical:{version}",
        "postgres": f"library/{_POSTGRES}",
        "redis": f"library/{_REDIS}",
    }
    return {
        service: registries.push(host, _image(host, service), MIRROR, name)
        for service, name in names.items()
    }


def _image(host: StagingHost, service: str) -> str:
    return host.run(
        f"docker inspect --format '{{{{.Image}}}}' infisical-{service}-1"
    ).stdout.strip()


def _apply(host: StagingHost, directory: Path, *arguments: str, **settings: Any) -> Done:
    """Run `apply` with settings whose images come from registries."""
    file = inventory(directory, image_archives=(), **settings)
    return infisical_iac(host.name, "apply", "--yes", "-i", file, *arguments)


def _apply_and_fail(host: StagingHost, directory: Path, **settings: Any) -> str:
    """Return the error of an `apply` that stops nothing."""
    before = containers(host)
    done = _apply(host, directory, **settings)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert "nothing was stopped" in done.stderr
    assert containers(host) == before
    return done.stderr


def test_a_mirror_gives_images_by_their_official_names(
    host: StagingHost, version: str, digests: dict[str, str], tmp_path: Path
) -> None:
    """Pull by tags and by a digest, then the same bytes by digests that Docker knows already."""
    images = {
        "infisical_image": "infisical/infisical",
        "infisical_version": f"{version}@{digests['infisical']}",
        "postgres_image": _POSTGRES,
        "redis_image": _REDIS,
    }
    done = _apply(host, tmp_path, **images)
    assert done.returncode == 0, done.stderr
    assert "/v2/infisical/infisical/manifests/" in registries.read_requests(host)
    images["postgres_image"] += f"@{digests['postgres']}"
    images["redis_image"] += f"@{digests['redis']}"
    done = _apply(host, tmp_path, **images)
    assert done.returncode == 0, done.stderr
    running = host.run("docker inspect --format '{{.Config.Image}}' infisical-redis-1").stdout
    assert running.strip() == images["redis_image"]
    file = inventory(tmp_path, image_archives=(), **images)
    planned = infisical_iac(host.name, "plan", "-i", file)
    assert planned.returncode == 0, planned.stdout


def test_a_tag_is_pulled_from_the_registry_that_its_name_says(
    host: StagingHost, digests: dict[str, str], tmp_path: Path
) -> None:
    registry = f"127.0.0.1:{MIRROR}"
    done = _apply(
        host,
        tmp_path,
        redis_image=f"{registry}/library/{_REDIS}",
        postgres_image=f"{registry}/library/{_POSTGRES}@{digests['postgres']}",
    )
    assert done.returncode == 0, done.stderr
    running = host.run("docker inspect --format '{{.Config.Image}}' infisical-redis-1").stdout
    assert running.strip() == f"{registry}/library/{_REDIS}"


@pytest.mark.parametrize(
    ("repository", "fact"),
    [
        ("status-401", "asks for a login"),
        ("status-404", "has no such image"),
        ("status-429", "too many requests"),
        ("status-500", "the registry failed"),
    ],
)
def test_an_error_of_the_registry_stops_no_container(
    host: StagingHost, tmp_path: Path, repository: str, fact: str
) -> None:
    image = f"127.0.0.1:{WRONG}/{repository}/infisical"
    error = _apply_and_fail(host, tmp_path, infisical_image=image)
    assert image in error
    assert fact in error


def test_a_registry_that_stalls_stops_no_container(host: StagingHost, tmp_path: Path) -> None:
    """The limit of a pull is shortened on the host, because a test can't wait for 15 minutes."""
    host.run(
        "printf '#!/bin/sh\\nshift\\nexec /usr/bin/timeout 5 \"$@\"\\n' >/usr/local/bin/timeout && "
        "chmod +x /usr/local/bin/timeout"
    )
    try:
        image = f"127.0.0.1:{WRONG}/stalls/infisical"
        error = _apply_and_fail(host, tmp_path, infisical_image=image)
    finally:
        host.run("rm /usr/local/bin/timeout")
    assert "does not answer" in error


def test_other_bytes_than_the_digest_says_are_refused(
    host: StagingHost, version: str, tmp_path: Path
) -> None:
    image, pinned = f"127.0.0.1:{WRONG}/wrong/infisical", f"{version}@sha256:{'a' * 64}"
    error = _apply_and_fail(host, tmp_path, infisical_image=image, infisical_version=pinned)
    assert "another digest" in error


def test_a_digest_unknown_to_the_registry_is_refused(
    host: StagingHost, version: str, digests: dict[str, str], tmp_path: Path
) -> None:
    image, pinned = f"127.0.0.1:{MIRROR}/infisical/infisical", f"{version}@sha256:{'a' * 64}"
    error = _apply_and_fail(host, tmp_path, infisical_image=image, infisical_version=pinned)
    assert "has no such image" in error
    assert digests["infisical"] not in error


def test_a_full_disk_stops_no_container(host: StagingHost, version: str, tmp_path: Path) -> None:
    registries.push_large(host, f"large/infisical:{version}")
    with registries.fill_disk(host):
        image = f"127.0.0.1:{MIRROR}/large/infisical"
        error = _apply_and_fail(host, tmp_path, infisical_image=image)
    assert "disk is full" in error


def test_a_private_registry_gets_the_login_and_no_file_keeps_it(
    host: StagingHost, tmp_path: Path
) -> None:
    redis = "acme/redis:8.999"
    registries.push(host, _image(host, "redis"), PRIVATE, redis, login=True)
    images = {"redis_image": f"127.0.0.1:{PRIVATE}/{redis}"}
    assert "asks for a login" in _apply_and_fail(host, tmp_path, **images)
    file = tmp_path / "password"
    file.write_text("wrong-fake-password\n")
    file.chmod(0o600)
    login = {"registry": f"127.0.0.1:{PRIVATE}", "user": USER, "password_file": str(file)}
    error = _apply_and_fail(host, tmp_path, registry_login=(login,), **images)
    assert "wrong-fake-password" not in error
    file.write_text(f"{PASSWORD}\n")
    done = _apply(host, tmp_path, "--json", registry_login=(login,), **images)
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    json.loads(done.stdout)
    kept = host.run(
        "find /run -maxdepth 1 -name 'infisical-iac-registry.*'; ls /root/.docker/config.json; "
        f"grep -rlF {PASSWORD} /etc /root/.docker /var/lib/infisical* /var/log",
        check=False,
    )
    assert kept.stdout == ""
