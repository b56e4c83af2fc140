"""Parse references of images and their versions, and find newer ones."""

import re
from collections.abc import Iterable
from typing import NamedTuple

Numbers = tuple[int, ...]

# The registry of images without a host in their name.
DOCKER_HUB = "docker.io"
DIGEST = r"sha256:[0-9a-f]{64}"


class ImageReference(NamedTuple):
    """The parts of an image's reference, completed as Docker completes them.

    Attributes:
        registry: the host of the registry, with its port if the reference has one.
        repository: the path in the registry, such as `library/postgres`.
        tag: empty if the reference has none.
        digest: `sha256:` and 64 hexadecimal digits, or empty.
    """

    registry: str
    repository: str
    tag: str
    digest: str


class Images(NamedTuple):
    """The references of the two images that determine the format of the data."""

    infisical: str
    postgres: str

    @property
    def version(self) -> str:
        """Infisical's version, such as `v0.165.16`."""
        return tag_of(self.infisical)

    @property
    def major(self) -> int:
        """PostgreSQL's major version; the cluster's image, Spilo, has it in its name."""
        spilo = re.search(r"spilo-(\d+)", self.postgres)
        return int(spilo[1]) if spilo else numbers_of(tag_of(self.postgres))[0]


def parse_reference(image: str) -> ImageReference:
    """Return the parts of an image's reference, such as `postgres:17.11@sha256:…`.

    The first part of a name is a host if it has a dot, a colon or an upper-case letter, or is
    `localhost` (`splitDockerDomain` in github.com/distribution/reference). Images of Docker Hub
    with a single part are in `library`.
    """
    name, _, digest = image.partition("@")
    tag = tag_of(image)
    first, slash, rest = name.removesuffix(f":{tag}").partition("/")
    is_host = slash and (re.search(r"[.:A-Z]", first) or first == "localhost")
    registry, repository = (first, rest) if is_host else (DOCKER_HUB, f"{first}{slash}{rest}")
    if registry in (DOCKER_HUB, f"index.{DOCKER_HUB}"):
        registry = DOCKER_HUB
        repository = repository if "/" in repository else f"library/{repository}"
    return ImageReference(registry, repository, tag, digest if re.fullmatch(DIGEST, digest) else "")


def tag_of(image: str) -> str:
    """Return the tag of an image's reference, empty without one."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def numbers_of(version: str) -> Numbers:
    """Return the numbers of a version, such as (0, 165, 16) of `v0.165.16-postgres`."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("-")[0]))


_TAG = re.compile(r"(?P<prefix>v?)(?P<numbers>\d+(?:\.\d+)*)(?P<suffix>-[A-Za-z0-9._-]+)?")
# A patch level of the packaging, such as Spilo's 4.0-p3.
_PATCH = re.compile(r"-p(\d+)")
_PRE_RELEASE = re.compile(
    r"-(alpha|beta|rc|pre|preview|dev|nightly|snapshot|canary|test|m)[0-9.-]*\d*", re.IGNORECASE
)
# A first number from here on is a year, not a major version.
_YEAR = 1900


class Newer(NamedTuple):
    """The newer tags of an image; empty where there are none.

    Attributes:
        tag: the newest one with the same major version.
        major: the newest one with a newer major version.
    """

    tag: str = ""
    major: str = ""


class _Shape(NamedTuple):
    prefix: str
    parts: int
    suffix: str


class _Version(NamedTuple):
    shape: _Shape
    numbers: Numbers
    patch: int


def find_newer(pinned: str, tags: Iterable[str]) -> Newer:
    """Return the tags that are newer than the pinned one and have its shape.

    Tags of the same shape have the same prefix `v` or none, as many numbers, and the same suffix,
    such as `-alpine`. A patch level such as `-p3` is compared as a number. So pre-releases are
    skipped, and the final release is newer than a pinned pre-release. A tag that is not a version
    has no newer ones.
    """
    current = _parse_version(pinned)
    if current is None:
        return Newer()
    is_final = not _PRE_RELEASE.fullmatch(current.shape.suffix)
    shape = current.shape if is_final else current.shape._replace(suffix="")
    least = (current.numbers, current.patch if is_final else -1)
    found = [
        (version.numbers, version.patch, tag)
        for tag, version in ((tag, _parse_version(tag)) for tag in tags)
        if version and version.shape == shape and (version.numbers, version.patch) > least
    ]
    if current.numbers[0] < _YEAR:
        found = [each for each in found if each[0][0] < _YEAR]
    same = [each for each in found if each[0][0] == current.numbers[0]]
    others = [each for each in found if each[0][0] > current.numbers[0]]
    return Newer(max(same)[-1] if same else "", max(others)[-1] if others else "")


def _parse_version(tag: str) -> _Version | None:
    match = _TAG.fullmatch(tag)
    if not match:
        return None
    numbers = tuple(map(int, match["numbers"].split(".")))
    suffix, patch = match["suffix"] or "", 0
    if level := _PATCH.fullmatch(suffix):
        suffix, patch = "-p", int(level[1])
    return _Version(_Shape(match["prefix"], len(numbers), suffix), numbers, patch)
