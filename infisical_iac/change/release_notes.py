"""Find what the notes of newer releases say about security, as the projects publish them at GitHub.

Registries know tags and no notes. PostgreSQL, HAProxy and Spilo publish no such notes at GitHub, so
nothing is known of theirs.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx

from infisical_iac.change.outdated import VersionReport
from infisical_iac.core.errors import Unreachable, UserError
from infisical_iac.core.images import Numbers, parse_reference

_API = "https://api.github.com"
# The projects' repositories, by the last part of an image's name.
_PROJECTS = {
    "infisical": "Infisical/infisical",
    "redis": "redis/redis",
    "caddy": "caddyserver/caddy",
    "etcd": "etcd-io/etcd",
}
# A repository may have the releases of other programs too, such as `infisical-cli/v0.41.90`.
_TAG = re.compile(r"(?:infisical/)?v?(\d+(?:\.\d+)+)(?:-postgres)?")
_IDENTIFIER = re.compile(r"\b(?:CVE-\d{4}-\d{4,}|GHSA(?:-[23456789cfghjmpqrvwx]{4}){3})\b")
_WORDS = re.compile(
    r"\bvulnerabilit|\bsecurity (?:fix|patch|update|advisor|issue|release|hardening)|"
    r"\bfix\w* .{0,40}\bsecurity\b",
    re.IGNORECASE,
)
_MOST_NAMED = 3
_PAGE = 100


def add_security_notes(
    reports: Sequence[VersionReport], *, timeout: float, api: str = _API
) -> list[VersionReport]:
    """Return the reports, with the security notes of the releases from the pinned to the newest.

    A project that does not answer leaves a note; nothing is raised.

    Args:
        timeout: the seconds to wait for each part of an answer.
    """
    found = []
    with httpx.Client(base_url=api, timeout=timeout, follow_redirects=True) as client:
        for report in reports:
            project = _find_project(report)
            if not (project and report.newest):
                found.append(report)
                continue
            try:
                releases = _ask(client, project)
            except UserError as error:
                note = f"whether it has a security note is not known: {error}"
                found.append(replace(report, notes=(*report.notes, note)))
                continue
            note = find_security_note(report.pinned, report.newest, releases)
            found.append(replace(report, security=note))
    return found


def _find_project(report: VersionReport) -> str:
    """Return the repository of an image's project; empty for none, and for this tool."""
    if not report.image:
        return ""
    return _PROJECTS.get(parse_reference(report.image).repository.rpartition("/")[2], "")


def _ask(client: httpx.Client, project: str) -> list[Mapping[str, Any]]:
    """Return the newest releases of a project. Raises a UserError if GitHub does not answer so."""
    try:
        response = client.get(f"/repos/{project}/releases", params={"per_page": _PAGE})
        found = response.json() if response.is_success else None
    except (httpx.HTTPError, ValueError) as error:
        raise Unreachable(
            f"no answer from {client.base_url.host} ({type(error).__name__})",
            code="unreachable.releases",
        ) from None
    if not isinstance(found, list):
        # GitHub allows 60 requests an hour without a login.
        raise UserError(f"{client.base_url.host} answers HTTP {response.status_code}")
    return [each for each in found if isinstance(each, dict)]


def find_security_note(pinned: str, newest: str, releases: Sequence[Mapping[str, Any]]) -> str:
    """Return what the notes of the releases after `pinned` up to `newest` say about security.

    It has identifiers and tags only, never a text of the notes. Empty if they say nothing.
    """
    first, last = _numbers(pinned), _numbers(newest)
    identifiers: dict[str, None] = {}
    named = []
    for release in releases:
        numbers = _numbers(str(release.get("tag_name", "")))
        if release.get("draft") or not (first and numbers and first < numbers <= last):
            continue
        text = f"{release.get('name') or ''}\n{release.get('body') or ''}"
        identifiers |= dict.fromkeys(_IDENTIFIER.findall(text))
        if _WORDS.search(text):
            named.append(numbers)
    if identifiers:
        return _shorten(sorted(identifiers))
    if named:
        tags = _shorten(".".join(map(str, each)) for each in sorted(named, reverse=True))
        return f"the notes of {tags} speak of security"
    return ""


def _numbers(tag: str) -> Numbers:
    """Return the numbers of a tag; none for a tag of another form."""
    match = _TAG.fullmatch(tag)
    return tuple(map(int, match[1].split("."))) if match else ()


def _shorten(names: Iterable[str]) -> str:
    every = [*names]
    more = f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""
    return f"{', '.join(every[:_MOST_NAMED])}{more}"


def to_record(reports: Sequence[VersionReport], at: str) -> dict[str, Any]:
    """Return the JSON of the agent's `ReleaseRecord`, at the time of a UTC timestamp."""
    newer = [
        {"name": e.name, "pinned": e.pinned, "newest": e.newest, "security": e.security}
        for e in reports
        if e.newest and e.image
    ]
    return {"at": at, "newer": newer}
