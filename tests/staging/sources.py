"""Read this machine's apt configuration: Debian's archives, and how they are reached.

An image that `mmdebstrap` makes gets the same configuration, so that apt works in it too. Only
Debian's own sources and the transport's options are copied: no pins, no other repositories.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.staging.shell import StagingError, run

_TRANSPORT = re.compile(r"^Acquire::(https?::|Check-|Retries |ForceIPv[46] )")


class Source(NamedTuple):
    """One archive: its address and the suites and components that are used."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def parse(text: str) -> list[Source]:
    """Read the binary archives of an apt sources file, in either of its two formats."""
    return [*_paragraphs(text), *_lines(text)]


def for_release(sources: list[Source], own: str, release: str) -> list[str]:
    """Return Debian's archives among `sources`, as sources.list lines for `release`.

    `own` is the code name of the release that `sources` are for; an archive without a suite of
    that name is not Debian's own and is left out. The list may be empty.
    """
    return list(
        dict.fromkeys(
            f"deb {source.uri} {suite.replace(own, release, 1)} main"
            for source in sources
            for suite in source.suites
            if suite.split("-")[0] == own and "main" in source.components
        )
    )


def transport(dump: str, environment: Mapping[str, str]) -> list[str]:
    """Return the options of `apt-config dump` and the proxies for reaching the archives."""
    options = [
        line for line in dump.splitlines() if _TRANSPORT.match(line) and not line.endswith(' "";')
    ]
    for scheme in ("http", "https"):
        proxy = environment.get(f"{scheme}_proxy")
        if proxy and not any(line.startswith(f"Acquire::{scheme}::Proxy ") for line in options):
            options.append(f'Acquire::{scheme}::Proxy "{proxy}";')
    return options


def of_this_machine(release: str) -> tuple[list[str], list[str]]:
    """Return this machine's archives for `release` and its transport options, both as lines.

    Raises StagingError if apt has no archive of Debian.
    """
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.sources"))]
    files += sorted(apt.glob("sources.list.d/*.list"))
    sources = [source for file in files if file.is_file() for source in parse(file.read_text())]
    lines = for_release(sources, _code_name(), release)
    if not lines:
        raise StagingError("apt on this machine names no Debian archive; see /etc/apt/sources.list")
    return lines, transport(run("apt-config", "dump").stdout, os.environ)


def _paragraphs(text: str) -> Iterator[Source]:
    for paragraph in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        unfolded = re.sub(r"\n[ \t]+", " ", paragraph)
        fields = {
            name.strip().lower(): value.split()
            for name, colon, value in (line.partition(":") for line in unfolded.splitlines())
            if colon
        }
        if "deb" in fields.get("types", ()) and fields.get("enabled") != ["no"]:
            for uri in fields.get("uris", ()):
                suites, components = fields.get("suites", ()), fields.get("components", ())
                yield Source(uri, tuple(suites), tuple(components))


def _lines(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        words = re.sub(r"\[[^]]*\]|#.*", "", line).split()
        if words[:1] == ["deb"] and len(words) > 3:
            yield Source(words[1], (words[2],), tuple(words[3:]))


def _code_name() -> str:
    release = Path("/etc/os-release").read_text()
    found = re.search(r'(?m)^VERSION_CODENAME="?(\w+)', release)
    return found[1] if found else ""
