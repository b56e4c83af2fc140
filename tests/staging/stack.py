"""Make the archives of images that staging hosts run: the stack's, and a cluster's.

PostgreSQL, Redis, Caddy, Patroni, etcd and HAProxy are the official images if a registry
answers, else images of Debian's packages with the same contract. Infisical is the image in the
archive `STAGING_INFISICAL_IMAGE`; else, for the demo, the official one if a registry answers; else
the stand-in. The choice is written to `.staging/images.json`.
"""

import json
import os
import re
import shutil
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from infisical_iac.core.bundle import default_settings
from tests.staging.build import RECIPES, adopt, base, build, digest, image_id, recipe_of
from tests.staging.host import StagingHost
from tests.staging.shell import STATE, StagingError, docker, hold_lock, report_duration, say

ARCHIVE = STATE / "images.tar"
CLUSTER_ARCHIVE = STATE / "cluster-images.tar"
CHOICE = STATE / "images.json"
# Two names, so that the stand-in's tag never names a real server.
_STANDIN, _REAL = "staging/infisical", "staging/infisical-real"
INFISICAL = _REAL if os.environ.get("STAGING_INFISICAL_IMAGE") else _STANDIN
STANDIN_VERSION = "v0.165.16"
# A real server takes 15 to 40 seconds to start.
START_SECONDS = 20
POSTGRES = "staging/postgres:17"
REDIS = "staging/redis:8"
CADDY = "staging/caddy:2"
PATRONI = "staging/patroni:17"
ETCD = "staging/etcd:3.5"
HAPROXY = "staging/haproxy:3"

_OFFICIAL = {POSTGRES: "postgres:17.11", REDIS: "redis:8.2.10", CADDY: "caddy:2.11.7"}
_CLUSTER = {
    PATRONI: "ghcr.io/zalando/spilo-17:4.0-p3",
    ETCD: "gcr.io/etcd-development/etcd:v3.5.21",
    HAPROXY: "haproxy:3.2.25",
}
_STANDIN_SOURCES = RECIPES.parent / "standin"


def ensure(*, prefer_official: bool = False) -> None:
    """Make all images of the stack and their archive, unless they are up to date.

    Args:
        prefer_official: take the official image of Infisical if a registry answers, and no archive
            of another is given.

    Raises StagingError if an image can't be built or a given archive can't be used.
    """
    with hold_lock():
        _ensure(prefer_official)


def official_infisical() -> str:
    """Return the official image of Infisical that the default settings name."""
    defaults = default_settings()
    return f"{defaults['infisical_image']}:{defaults['infisical_version']}"


def ensure_cluster() -> None:
    """Also make the images that only a cluster runs, and their archive. Raises as `ensure`."""
    ensure()
    with hold_lock():
        for tag, official in _CLUSTER.items():
            _have_service(tag, official)
        ids = {tag: image_id(tag) for tag in _CLUSTER}
        choice = CLUSTER_ARCHIVE.with_suffix(".json")
        before = json.loads(choice.read_text()) if choice.exists() else {}
        if before != ids or not CLUSTER_ARCHIVE.exists():
            _save(CLUSTER_ARCHIVE, tuple(_CLUSTER))
        choice.write_text(json.dumps(ids, indent=2) + "\n")


def start_slowly(host: StagingHost) -> None:
    """Make the stand-in on a host start as slowly as a real server; its image is loaded already.

    Running containers are not affected, nor is a real server.
    """
    tag = f"{INFISICAL}:{STANDIN_VERSION}"
    if find_archive() is None:
        host.run(
            f"made=$(docker create {tag}) && docker commit "
            f"--change 'ENV STANDIN_START_SECONDS={START_SECONDS}' $made {tag} && docker rm $made"
        )


def version_of(reference: str) -> str:
    """Return the version in an Infisical image's tag, else the stand-in's version."""
    tag = reference.rpartition("/")[2].partition(":")[2]
    return tag if re.fullmatch(r"v\d+\.\d+\.\d+", tag) else STANDIN_VERSION


def find_archive() -> Path | None:
    """Return the archive of a real Infisical, None without one.

    Raises StagingError if it is named but is not a file.
    """
    named = os.environ.get("STAGING_INFISICAL_IMAGE", "")
    if named and not Path(named).is_file():
        raise StagingError(f"STAGING_INFISICAL_IMAGE names {named}, which is not a file")
    return Path(named) if named else None


def version() -> str:
    """Return the version of Infisical on staging hosts: the archive's, else the stand-in's.

    Raises StagingError if the archive can't be read.
    """
    archive = find_archive()
    return version_in(archive) if archive else STANDIN_VERSION


@cache
def version_in(archive: Path) -> str:
    """Return the version of the first image in an archive of `docker save`.

    Raises StagingError if there is none.
    """
    try:
        with tarfile.open(archive) as opened:
            manifest = opened.extractfile("manifest.json")
            assert manifest is not None
            first = json.load(manifest)[0]
    except (OSError, KeyError, IndexError, ValueError, tarfile.TarError) as error:
        message = f"{archive} holds no image ({error}); make it with `docker save`"
        raise StagingError(message) from None
    return version_of((first["RepoTags"] or [""])[0])


def _ensure(prefer_official: bool) -> None:
    before = _read_choice()
    for tag, official in _OFFICIAL.items():
        _have_service(tag, official)
    tag, source = _have_infisical(before, prefer_official)
    name, _, its_version = tag.rpartition(":")
    tags = (tag, *_OFFICIAL)
    ids = {tag: image_id(tag) for tag in tags}
    if before.get("ids") != ids or not ARCHIVE.exists():
        _save(ARCHIVE, tags)
    choice = {
        "infisical": name,
        "infisical_version": its_version,
        "standin": not source,
        "postgres": POSTGRES,
        "redis": REDIS,
        "caddy": CADDY,
        "source": source,
        "ids": ids,
    }
    CHOICE.write_text(json.dumps(choice, indent=2) + "\n")


def _have_infisical(before: dict[str, Any], prefer_official: bool) -> tuple[str, str]:
    """Ensure an image of Infisical, and return its tag and source; the stand-in has no source.

    Args:
        before: the choice of an earlier run. An image that is still there is used again.
    """

    def is_there(tag: str, source: str) -> bool:
        return source == before.get("source") and image_id(tag) == before["ids"].get(tag)

    if (archive := find_archive()) is not None:
        tag, source = f"{_REAL}:{version()}", _stamp(archive)
        if not is_there(tag, source):
            _load(archive, tag)
        return tag, source
    if prefer_official:
        official = official_infisical()
        tag = f"{_REAL}:{version_of(official)}"
        if is_there(tag, official) or adopt(official, tag):
            say(f"Infisical is the official image {official}")
            return tag, official
    tag = f"{_STANDIN}:{STANDIN_VERSION}"
    _have_standin(tag)
    return tag, ""


def _have_service(tag: str, official: str) -> None:
    name = tag.partition("/")[2].partition(":")[0]
    directory = RECIPES / name
    recipe = digest(directory)
    # An official image has no label of ours.
    if recipe_of(tag) in (recipe, "") or adopt(official, tag):
        return
    plain = base("trixie")
    say(f"Building {tag} from Debian's packages")
    build(tag, directory, recipe, plain)


def _have_standin(tag: str) -> None:
    recipe = digest(_STANDIN_SOURCES, digest(RECIPES / "infisical"))
    if recipe_of(tag) == recipe:
        return
    plain = base("trixie")
    say(f"Building {tag}: a stand-in that speaks Infisical's HTTP contract, not Infisical itself")
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        shutil.copytree(RECIPES / "infisical", context, dirs_exist_ok=True)
        shutil.copytree(
            _STANDIN_SOURCES,
            context / "standin",
            ignore=shutil.ignore_patterns("__pycache__", "*.md"),
        )
        build(tag, context, recipe, plain)


def _load(archive: Path, tag: str) -> None:
    """Load an archive of `docker save`, and give its first image only this tag."""
    say(f"Loading Infisical's image from {archive}")
    present = docker("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    with report_duration("Loaded it"):
        output = docker("load", "--input", str(archive), check=False)
    loaded = re.search(r"Loaded image(?: ID)?: (\S+)", output)
    if not loaded:
        raise StagingError(f"{archive} holds no image; make it with `docker save`")
    docker("tag", loaded[1], tag)
    if loaded[1] not in (tag, *present):
        docker("image", "rm", loaded[1], check=False)


def _save(archive: Path, tags: tuple[str, ...]) -> None:
    say(f"Saving the images in {archive.parent.name}/{archive.name}")
    unfinished = archive.with_suffix(".partial")
    with report_duration("Saved them"):
        docker("save", "--output", str(unfinished), *tags)
    unfinished.replace(archive)


def _stamp(archive: Path) -> str:
    status = archive.stat()
    return f"{archive.resolve()} {status.st_size} {status.st_mtime_ns}"


def _read_choice() -> dict[str, Any]:
    choice: dict[str, Any] = json.loads(CHOICE.read_text()) if CHOICE.exists() else {}
    return choice
