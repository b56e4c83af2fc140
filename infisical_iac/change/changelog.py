"""Read the sections of CHANGELOG.md between two versions."""

import re
import tomllib
from typing import NamedTuple

from infisical_iac.core.bundle import CHANGELOG
from infisical_iac.core.images import Numbers

_HEADING = re.compile(r"^## \[?v?(\d+(?:\.\d+)+)\]?", re.MULTILINE)
_ANY_HEADING = re.compile(r"^## ", re.MULTILINE)


class ChangelogSection(NamedTuple):
    """The text about one version, without its heading."""

    version: str
    text: str


def read_changelog() -> str:
    """Return the text of this version's CHANGELOG.md."""
    return CHANGELOG.read_text("utf-8")


def select_sections(changelog: str, *, after: str, until: str) -> list[ChangelogSection]:
    """Return the sections of the versions above `after` and up to `until`, the newest first."""
    low, high = version_numbers(after), version_numbers(until)
    found = []
    for heading in _HEADING.finditer(changelog):
        if low < version_numbers(heading[1]) <= high:
            _, _, body = changelog[heading.start() :].partition("\n")
            following = _ANY_HEADING.search(body)
            text = body[: following.start()] if following else body
            found.append(ChangelogSection(heading[1], text.strip()))
    return sorted(found, key=lambda each: version_numbers(each.version), reverse=True)


def version_numbers(version: str) -> Numbers:
    """Return the numbers of a version of this tool, without a pre-release suffix."""
    leading = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, leading[1].split("."))) if leading else ()


def find_pin(pyproject: str, name: str) -> str:
    """Return the version that the text of a `pyproject.toml` pins a package to, empty for none."""
    try:
        dependencies = list(tomllib.loads(pyproject)["project"]["dependencies"])
    except (tomllib.TOMLDecodeError, TypeError, LookupError):
        return ""
    pins = (re.match(rf"{re.escape(name)} *== *([^\s;,]+)", str(each)) for each in dependencies)
    return next((match[1] for match in pins if match), "")
