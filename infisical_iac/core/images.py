"""Parse references of images and their versions."""

import re
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
