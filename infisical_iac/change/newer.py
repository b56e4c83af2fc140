"""Find the tags of an image that are newer than a pinned one, and of the same shape. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from infisical_iac.core.images import Numbers

_TAG = re.compile(r"(?P<prefix>v?)(?P<numbers>\d+(?:\.\d+)*)(?P<suffix>-[A-Za-z0-9._-]+)?")
# A patch level of the packaging, such as Spilo's 4.0-p3.
_PATCH = re.compile(r"-p(\d+)")
_PRE_RELEASE = re.compile(
    r"-(alpha|beta|rc|pre|preview|dev|nightly|snapshot|canary|test|m)[0-9.-]*\d*", re.IGNORECASE
)
# The least number that is a year and no major version.
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

    The same shape is the same `v` before it, the same number of numbers, and the same suffix, such
    as `-alpine`; a patch level such as `-p3` is compared as a number. So pre-releases are passed
    over, and the final release is newer than a pinned pre-release. A tag that is not a version has
    no newer ones.
    """
    current = _parse(pinned)
    if current is None:
        return Newer()
    is_final = not _PRE_RELEASE.fullmatch(current.shape.suffix)
    shape = current.shape if is_final else current.shape._replace(suffix="")
    least = (current.numbers, current.patch if is_final else -1)
    found = [
        (version.numbers, version.patch, tag)
        for tag, version in ((tag, _parse(tag)) for tag in tags)
        if version and version.shape == shape and (version.numbers, version.patch) > least
    ]
    if current.numbers[0] < _YEAR:
        found = [each for each in found if each[0][0] < _YEAR]
    same = [each for each in found if each[0][0] == current.numbers[0]]
    others = [each for each in found if each[0][0] > current.numbers[0]]
    return Newer(max(same)[-1] if same else "", max(others)[-1] if others else "")


def _parse(tag: str) -> _Version | None:
    match = _TAG.fullmatch(tag)
    if not match:
        return None
    numbers = tuple(map(int, match["numbers"].split(".")))
    suffix, patch = match["suffix"] or "", 0
    if level := _PATCH.fullmatch(suffix):
        suffix, patch = "-p", int(level[1])
    return _Version(_Shape(match["prefix"], len(numbers), suffix), numbers, patch)
