"""Run registries on the loopback address of a host: a mirror, a private one, and a wrong one."""

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt

from infisical_iac.core.images import parse_reference
from tests import fake_registry
from tests.staging.host import StagingHost
from tests.staging.shell import docker

MIRROR, PRIVATE, WRONG = 5000, 5001, 5002
USER, PASSWORD = "reader", "obviously-fake-registry-password"
_DEFAULTS = "/etc/default/docker"
_DIRECTORY = "/root/registries"
_SECONDS = 60


def run_mirror(host: StagingHost, *, used: bool = True) -> None:
    """Run an empty registry, Debian's docker-registry, until the host boots again.

    Args:
        used: whether Docker is restarted to pull official names from it before Docker Hub.
    """
    host.run(
        "apt-get -qq install --yes --no-install-recommends docker-registry && "
        f"systemctl disable --now docker-registry; mkdir -p {_DIRECTORY} && "
        f"cp -a {_DEFAULTS} {_DIRECTORY}/defaults"
    )
    _serve(host, "mirror", MIRROR, {})
    if used:
        option = f"--registry-mirror=http://127.0.0.1:{MIRROR}"
        host.run(f"echo 'DOCKER_OPTS=\"{option}\"' >>{_DEFAULTS}; systemctl restart docker")


@contextmanager
def run_all(host: StagingHost, *, mirrors: bool = True) -> Iterator[None]:
    """Run all three registries, with the first as Docker's mirror of Docker Hub.

    The first and the second are Debian's docker-registry. Nothing of them is left afterwards.

    Args:
        mirrors: whether Docker is restarted to use the mirror for official names.
    """
    restart = "systemctl restart docker" if mirrors else "true"
    try:
        run_mirror(host, used=mirrors)
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        host.run(f"cat >{_DIRECTORY}/htpasswd", input=f"{USER}:{hashed}\n")
        htpasswd = {"realm": "fake", "path": f"{_DIRECTORY}/htpasswd"}
        _serve(host, "private", PRIVATE, {"auth": {"htpasswd": htpasswd}})
        script = Path(fake_registry.__file__).read_text()
        host.run(f"cat >{_DIRECTORY}/fake_registry.py", input=script)
        _start(host, "wrong", WRONG, f"python3 {_DIRECTORY}/fake_registry.py {WRONG}")
        yield
    finally:
        host.run(
            f"test ! -e {_DIRECTORY}/defaults || cp -a {_DIRECTORY}/defaults {_DEFAULTS}; "
            "systemctl stop registry-mirror registry-private registry-wrong; "
            f"{restart}; rm -rf {_DIRECTORY}; "
            "apt-get -qq purge --yes docker-registry",
            check=False,
        )


def push(host: StagingHost, image: str, port: int, name: str, *, login: bool = False) -> str:
    """Push an image of the host under a name into one of the registries; return its digest.

    The name is removed from the host afterwards.
    """
    target = f"127.0.0.1:{port}/{name}"
    config = f"--config {_DIRECTORY}/docker"
    if login:
        command = f"docker {config} login --username {USER} --password-stdin 127.0.0.1:{port}"
        host.run(command, input=PASSWORD)
    host.run(f"docker tag {image} {target} && docker {config} push --quiet {target}")
    digests = json.loads(
        host.run(f"docker inspect --format '{{{{json .RepoDigests}}}}' {image}").stdout
    )
    repository = target.rpartition(":")[0]
    digest = next(each for each in digests if each.startswith(f"{repository}@"))
    host.run(f"docker rmi {target} {digest}", check=False)
    return str(digest.partition("@")[2])


def fill_mirror(host: StagingHost, archive: Path, images: Mapping[str, str]) -> dict[str, str]:
    """Give the mirror of a host images that its Docker does not have; return their digests.

    Args:
        archive: of `docker save`. Its layers are uncompressed, unlike those of a push.
        images: by the official references that they get, their names in the archive.
    """
    with tempfile.TemporaryDirectory() as directory, tarfile.open(archive) as opened:
        storage = Path(directory, "mirror")
        listed = json.loads(_read(opened, "manifest.json"))
        found = {tag: image for image in listed for tag in image["RepoTags"]}
        digests = {
            official: _store(storage / "docker/registry/v2", official, opened, found[image])
            for official, image in images.items()
        }
        docker("cp", str(storage), f"{host.container}:{_DIRECTORY}/")
    return digests


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None
    return member.read()


def _store(root: Path, official: str, archive: tarfile.TarFile, image: Mapping[str, Any]) -> str:
    """Store an image as docker-registry does below `root`, and return its digest."""
    reference = parse_reference(official)
    repository = root / "repositories" / reference.repository

    def store(content: bytes, *links: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blob = root / "blobs/sha256" / digest[:2] / digest / "data"
        for file in (blob, *(repository / link.format(digest) / "link" for link in links)):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if file == blob else f"sha256:{digest}".encode())
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def describe(kind: str, member: str) -> dict[str, Any]:
        stored = store(_read(archive, member), "_layers/sha256/{}")
        return {"mediaType": f"application/vnd.oci.image.{kind}", **stored}

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("config.v1+json", image["Config"]),
        "layers": [describe("layer.v1.tar", each) for each in image["Layers"]],
    }
    tags = f"_manifests/tags/{reference.tag}"
    links = ("_manifests/revisions/sha256/{}", f"{tags}/current", f"{tags}/index/sha256/{{}}")
    return str(store(json.dumps(manifest).encode(), *links)["digest"])


def copy(source: StagingHost, target: StagingHost) -> None:
    """Give the mirror of a host all images of another host's mirror."""
    with tempfile.TemporaryDirectory() as directory:
        docker("cp", f"{source.container}:{_DIRECTORY}/mirror", directory)
        docker("cp", f"{directory}/mirror", f"{target.container}:{_DIRECTORY}/")


def push_large(host: StagingHost, name: str) -> None:
    """Push an image with a layer of 8 MB that no other image has, and remove it from Docker."""
    target = f"127.0.0.1:{MIRROR}/{name}"
    host.run(
        f"cd {_DIRECTORY} && head -c 8000000 /dev/urandom >large && "
        f"tar -c large | docker import - {target} && docker push --quiet {target}; "
        f"docker rmi {target}; rm large"
    )


@contextmanager
def fill_disk(host: StagingHost) -> Iterator[None]:
    """Leave 1 MB of space where Docker keeps the layers that it downloads."""
    directory = "/var/lib/docker/tmp"
    host.run(f"mount -t tmpfs -o size=1m tmpfs {directory}")
    try:
        yield
    finally:
        host.run(f"umount {directory}")


def read_requests(host: StagingHost, unit: str = "mirror") -> str:
    """Return the log of one of the registries."""
    return host.run(f"journalctl --unit registry-{unit} --output cat").stdout


def _serve(host: StagingHost, unit: str, port: int, more: dict[str, object]) -> None:
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": f"{_DIRECTORY}/{unit}"}},
        "http": {"addr": f"127.0.0.1:{port}"},
        **more,
    }
    file = f"{_DIRECTORY}/{unit}.yml"
    # JSON is YAML, too.
    host.run(f"cat >{file}", input=json.dumps(config))
    _start(host, unit, port, f"docker-registry serve {file}")


def _start(host: StagingHost, unit: str, port: int, command: str) -> None:
    host.run(
        f"systemd-run --quiet --collect --unit registry-{unit} $(command -v {command.split()[0]}) "
        f"{' '.join(command.split()[1:])} && for n in $(seq {_SECONDS * 4}); do "
        f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && exit 0; sleep 0.25; done; exit 1"
    )
