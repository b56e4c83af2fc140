"""Report the versions that the host runs, and keep earlier ones as releases.

`infisical_iac/change/__init__.py` describes a release.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infisical_iac.agent.data import MAIN, GivenUp, find_volume, list_given_up, our_containers
from infisical_iac.agent.database import find_database, list_databases_given_up
from infisical_iac.agent.files import write
from infisical_iac.agent.runner import Failure, Runner, action, observation

RELEASES = "/var/backups/infisical-iac/upgrades"
_ROOT = "/etc/infisical"
_STACK_VOLUME = "infisical_patroni"
# The second names of the images of releases.
_KEPT = "infisical-iac/kept"
_ID = re.compile("[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True)
class ServiceImage:
    """The image of a service: its reference, and its id; the id is empty for a missing image."""

    service: str
    reference: str
    id: str = ""


@dataclass(frozen=True)
class FailedRelease:
    """A release whose change failed: its name, when it failed, and the desired image."""

    release: str
    at: str
    image: str


@dataclass(frozen=True)
class RunningVersions:
    """The versions that a host runs or ran last.

    Attributes:
        database: whether there are data.
        images: the images in use, by service.
        desired: the id of the desired image of Infisical; empty if the host lacks it.
        failed: the failed changes of version, in the order of their releases.
    """

    database: bool = False
    images: Mapping[str, ServiceImage] = field(default_factory=dict)
    desired: str = ""
    failed: tuple[FailedRelease, ...] = ()


def is_cluster(runner: Runner) -> bool:
    """Return whether the host is a manager of a cluster that runs the stack."""
    return runner.run(["docker", "service", "inspect", "infisical_infisical"]).status == 0


@observation
def inspect(runner: Runner, *, desired: str) -> RunningVersions:
    """Return the versions; nothing without Docker.

    Args:
        desired: the reference of Infisical's image in the settings.
    """
    if runner.run(["docker", "--version"]).status != 0:
        return RunningVersions()
    in_cluster = is_cluster(runner)
    volume = _STACK_VOLUME if in_cluster else MAIN
    try:
        there = find_volume(runner, volume) is not None
    except RuntimeError:
        there = False
    images = {each.service: each for each in _images(runner, in_cluster=in_cluster)}
    return RunningVersions(there, images, _id_of(runner, desired), tuple(_list_failed(runner)))


def _id_of(runner: Runner, image: str) -> str:
    done = runner.run(["docker", "image", "inspect", "--format", "{{json .Id}}", image])
    return str(json.loads(done.text)) if done.status == 0 else ""


def _images(runner: Runner, *, in_cluster: bool) -> list[ServiceImage]:
    """Return the image of each service that runs, else of those in compose.yaml.

    A cluster's services may run on other nodes.
    """
    found = _of_services(runner) if in_cluster else [*_of_containers(runner), *_of_file(runner)]
    first: dict[str, ServiceImage] = {}
    for each in found:
        first.setdefault(each.service, each)
    return [
        each
        if each.id
        else ServiceImage(each.service, each.reference, _id_of(runner, each.reference))
        for each in first.values()
    ]


def _of_containers(runner: Runner) -> list[ServiceImage]:
    try:
        found = our_containers(runner)
    except RuntimeError:
        return []
    return [ServiceImage(each.service, each.image, each.image_id) for each in found]


def _of_file(runner: Runner) -> Iterator[ServiceImage]:
    service = ""
    for line in (runner.text(f"{_ROOT}/compose.yaml") or "").splitlines():
        if named := re.fullmatch("  ([a-z]+):", line):
            service = named[1]
        elif image := re.match('    image: "?([^" ]+)', line):
            yield ServiceImage(service, image[1])


def _of_services(runner: Runner) -> list[ServiceImage]:
    listed = ["docker", "service", "ls", "--quiet"]
    label = "label=com.docker.stack.namespace=infisical"
    ids = runner.run([*listed, "--filter", label]).text.split()
    if not ids:
        return []
    shown = runner.run(["docker", "service", "inspect", "--format", "{{json .Spec}}", *ids]).text
    found: list[dict[str, Any]] = [json.loads(each) for each in shown.splitlines() if each]
    named = (
        (re.sub("-[0-9]+$", "", each["Name"].removeprefix("infisical_")), each) for each in found
    )
    return sorted(
        (
            ServiceImage(name, each["TaskTemplate"]["ContainerSpec"]["Image"])
            for name, each in named
        ),
        key=lambda each: each.service,
    )


def _folders(runner: Runner) -> list[Path]:
    folder = runner.path(RELEASES)
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []


def _list_failed(runner: Runner) -> Iterator[FailedRelease]:
    for folder in _folders(runner):
        words = (runner.text(f"{RELEASES}/{folder.name}/failed") or "").split()
        if len(words) == 2:
            yield FailedRelease(folder.name, *words)


@dataclass(frozen=True)
class DiskRoom:
    """A file system: the number of its device, and its free KiB."""

    device: int
    free: int


@dataclass(frozen=True)
class Room:
    """The free space for Docker's images, its volumes and releases, and the size of the data."""

    images: DiskRoom
    volumes: DiskRoom
    releases: DiskRoom
    data: int


@observation
def free_space(runner: Runner) -> Room:
    """Return the room on the host for a change of version. Docker's volumes may be elsewhere."""
    root = json.loads(runner.must_run(["docker", "info", "--format", "{{json .DockerRootDir}}"]))
    name = _STACK_VOLUME if is_cluster(runner) else MAIN
    volume = find_volume(runner, name)
    if volume is None:
        raise RuntimeError(Failure("command", f"Docker has no volume {name}"))
    place, where = runner.path(volume.place), runner.path(RELEASES)
    while not where.is_dir():
        where = where.parent
    return Room(_room(runner.path(root)), _room(place), _room(where), _size(place))


def _room(place: Path) -> DiskRoom:
    return DiskRoom(place.stat().st_dev, shutil.disk_usage(place).free // 1024)


def _size(place: Path) -> int:
    """Return the KiB that the data take on the disk, without the log that a dump leaves out."""
    total = 0
    for folder, names, files in os.walk(place):
        names[:] = [each for each in names if each != "pg_wal"]
        for each in files:
            try:
                total += os.lstat(os.path.join(folder, each)).st_blocks
            except FileNotFoundError:
                continue  # PostgreSQL has removed it meanwhile
    return total // 2


@observation
def given_up(runner: Runner) -> list[GivenUp]:
    """Return the data of changes that were given up, which are kept."""
    if not is_cluster(runner):
        # The nodes of a cluster may still have volumes from the time as a single host.
        return list_given_up(runner)
    try:
        return list_databases_given_up(find_database(runner))
    except RuntimeError:
        return []  # other checks report that the database does not answer


@observation
def migrations(runner: Runner, *, topology: str = "") -> int:
    """Return the number of migrations that the database has had."""
    query = "SELECT count(*) FROM infisical_migrations"
    return int(find_database(runner, topology).sql(query)[0])


@observation
def present(runner: Runner, *, ids: Sequence[str], topology: str = "") -> list[str]:
    """Return the ids of secrets, among these, that the database has; others are left out."""
    asked = [f"'{each}'" for each in ids if _ID.fullmatch(each)]
    if not asked:
        return []
    query = f"SELECT id FROM secrets_v2 WHERE id::text IN ({','.join(asked)})"
    return find_database(runner, topology).sql(query)


@action
def make(runner: Runner, *, release: str) -> None:
    """Make a release of the running version, without its dump."""
    for name in ("compose.yaml", "workspace.json"):
        file = runner.path(f"{_ROOT}/{name}")
        if file.exists():
            write(runner.path(f"{RELEASES}/{release}/{name}"), file.read_bytes())
    found = _images(runner, in_cluster=is_cluster(runner))
    lines = "".join(f"{each.service} {each.reference} {each.id}\n" for each in found)
    write(runner.path(f"{RELEASES}/{release}/images"), lines.encode())
    for each in found:
        if each.id:
            runner.must_run(["docker", "tag", each.id, f"{_KEPT}:{release}-{each.service}"])


def _read_images(runner: Runner, release: str) -> list[ServiceImage]:
    lines = (runner.text(f"{RELEASES}/{release}/images") or "").splitlines()
    return [ServiceImage(*(*line.split(" "), "")[:3]) for line in lines]


@dataclass(frozen=True)
class KeptRelease:
    """A release: its images, and the text of its manifest, empty without a dump."""

    name: str
    images: tuple[ServiceImage, ...]
    manifest: str = ""


@observation
def kept(runner: Runner) -> list[KeptRelease]:
    """Return the releases that the host keeps, the oldest first."""
    return [
        KeptRelease(
            each.name,
            tuple(images),
            runner.text(f"{RELEASES}/{each.name}/snapshot/manifest.json") or "",
        )
        for each in _folders(runner)
        if (images := _read_images(runner, each.name))
    ]


@action
def reset(runner: Runner, *, release: str) -> list[str]:
    """Give the images of a release their names back, and return those that are missing.

    A reference with a digest always names the same image, so it needs no new name.
    """
    missing = []
    for each in _read_images(runner, release):
        if not each.id or not _id_of(runner, each.id):
            if not _id_of(runner, each.reference):
                missing.append(each.reference)
        elif "@" not in each.reference:
            runner.must_run(["docker", "tag", each.id, each.reference])
    return missing


@action
def forget(runner: Runner, *, releases: Sequence[str]) -> None:
    """Remove releases, with the second names of their images."""
    listed = runner.run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", _KEPT]
    ).lines
    for release in releases:
        names = [each for each in listed if f":{release}-" in each]
        if names:
            runner.must_run(["docker", "image", "rm", *names])
        shutil.rmtree(runner.path(f"{RELEASES}/{release}"), ignore_errors=True)


@action
def drop(runner: Runner, *, images: Sequence[str]) -> None:
    """Remove images that nothing uses; one that Docker can't remove stays."""
    used = {each.reference for each in _images(runner, in_cluster=is_cluster(runner))}
    for each in images:
        if each not in used:
            runner.run(["docker", "image", "rm", each])
