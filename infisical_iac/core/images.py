"""Parse references of images and their versions."""

import re
from typing import NamedTuple

Numbers = tuple[int, ...]


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


def tag_of(image: str) -> str:
    """Return the tag of an image's reference, empty without one."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def numbers_of(version: str) -> Numbers:
    """Return the numbers of a version, such as (0, 165, 16) of `v0.165.16-postgres`."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("-")[0]))
