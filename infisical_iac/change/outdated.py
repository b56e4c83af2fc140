"""Compare the pinned images and this tool with their newest versions.

Registries know tags and no notes. What the notes of newer releases say about security is read where
the projects publish them, at GitHub. PostgreSQL, HAProxy and Spilo publish none there, so nothing
is known of theirs.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import httpx

from infisical_iac.api.registry import RegistryClient, RegistryCredentials
from infisical_iac.change import releases, tool_versions
from infisical_iac.change.tool_versions import version_numbers
from infisical_iac.core import bundle
from infisical_iac.core.change import Row
from infisical_iac.core.errors import Refused, Unreachable, UserError
from infisical_iac.core.images import ImageReference, Images, Numbers, find_newer, parse_reference
from infisical_iac.core.settings import Settings
from infisical_iac.stack.registry_login import RegistryLogin, choose_login, read_password
from infisical_iac.stack.settings import StackSettings, image_name

# Seconds that all answers together may take.
TIME_LIMIT = 5.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class PinnedImage:
    """An image of the settings: its name in the stack, its setting and its reference."""

    name: str
    setting: str
    reference: str

    @property
    def parts(self) -> ImageReference:
        """The parts of the reference."""
        return parse_reference(self.reference)


@dataclass(frozen=True)
class VersionReport:
    """The comparison of one program with its newest version.

    Attributes:
        name: such as `postgres`.
        setting: the setting that pins it; empty for this tool.
        image: its reference in the settings, without the digest; empty for this tool.
        pinned: the version that the settings name, or that runs.
        newest: the newest of the same major version, empty if nothing is newer.
        major: the newest of a newer major version, empty if there is none.
        digest: the digest of the newest; empty with image archives, or if no registry gives it.
        unknown: why the newest version is not known; empty if it is.
        notes: sentences on the upgrade to it, such as releases that must not be skipped.
        security: what the notes of the releases in between say about security; empty for nothing,
            and as long as nobody has asked.
    """

    name: str
    setting: str
    image: str
    pinned: str
    newest: str = ""
    major: str = ""
    digest: str = ""
    unknown: str = ""
    notes: Sequence[str] = ()
    security: str = ""

    def as_data(self) -> dict[str, Any]:
        """Return the report as data for JSON."""
        return {
            "name": self.name,
            "setting": self.setting,
            "image": self.image,
            "pinned": self.pinned,
            "newest": self.newest,
            "newer_major": self.major,
            "digest": self.digest,
            "unknown": self.unknown,
            "notes": list(self.notes),
            "security": self.security,
        }


def list_pinned(settings: Settings) -> list[PinnedImage]:
    """Return each image of the settings once, including the images of a cluster's services."""
    is_cluster = settings.cluster.topology == "swarm"
    keys = {"infisical": "infisical_version", "postgres": "postgres_image"}
    keys |= {"patroni": "patroni_image"} if is_cluster else {}
    services = {**settings.services, "postgres": settings.stack.postgres_image}
    if is_cluster:
        services["patroni"] = settings.cluster.patroni_image
    return [
        PinnedImage(name, keys.get(name, f"{name}_image"), image)
        for name, image in services.items()
    ]


def assess_image(image: PinnedImage, tags: Sequence[str]) -> VersionReport:
    """Return the report on an image, by all tags that its registry has."""
    pinned = image.parts.tag
    found = find_newer(pinned, tags)
    report = VersionReport(
        image.name, image.setting, image_name(image.reference), pinned, found.tag, found.major
    )
    if image.name == "infisical" and (newest := found.tag or found.major):
        return _limit_to_reachable_release(report, newest, tags)
    return report


def _limit_to_reachable_release(
    report: VersionReport, newest: str, tags: Sequence[str]
) -> VersionReport:
    """Return the report, limited to releases that an upgrade reaches in one step, with a note."""
    obstacle = find_obstacle(report.pinned, newest)
    if not obstacle:
        return report
    passable = [each for each in tags if not find_obstacle(report.pinned, each)]
    found = find_newer(report.pinned, passable)
    return replace(report, newest=found.tag, major=found.major, notes=(obstacle,))


def find_obstacle(pinned: str, desired: str) -> str:
    """Return why Infisical can't be upgraded in one step between two releases, empty if it can."""
    name = "infisical/infisical"
    try:
        releases.refuse_change(
            *(Images(f"{name}:{version}", "postgres:17") for version in (pinned, desired))
        )
    except Refused as refused:
        return str(refused)
    return ""


def assess_tool(
    newest: str, running: str, client: tool_versions.PackageClient | None
) -> VersionReport:
    """Return the report on this tool, with the commands of its client for a newer version."""
    report = VersionReport(bundle.NAME, setting="", image="", pinned=running)
    if client is None or version_numbers(newest) <= version_numbers(running):
        return report
    upgrade, run = client.upgrade.format(newest), client.run.format(newest)
    notes = (
        f"`{upgrade}` upgrades it",
        f"`{run} outdated --since {running}` prints what {newest} changes",
    )
    return replace(report, newest=newest, notes=notes)


def compare(settings: Settings, *, timeout: float) -> list[VersionReport]:
    """Ask for the newest versions of this tool and of all images at once; raises nothing.

    Args:
        timeout: the seconds after which a version without an answer is reported as unknown.
    """
    images = {image.name: image for image in list_pinned(settings)}
    unknown = {name: _unknown(image) for name, image in images.items()}
    unknown[bundle.NAME] = assess_tool("", bundle.version(), None)
    questions: dict[str, Callable[[], VersionReport]] = {bundle.NAME: partial(_ask_client, timeout)}
    for name, image in images.items():
        questions[name] = partial(_ask_registry, image, settings.stack, timeout)
    answers = ask_all(questions, timeout)
    return [
        answer
        if isinstance(answer := answers[name], VersionReport)
        else replace(unknown[name], unknown=_describe(answer, images.get(name), timeout))
        for name in questions
    ]


def read_digests(
    settings: Settings, *, timeout: float
) -> list[tuple[PinnedImage, str | UserError]]:
    """Return each image of the settings with the digest that its tag has now, or with the error."""
    images = list_pinned(settings)
    answers = ask_all(
        {
            image: partial(_ask_digest, image, settings.stack.registry_login, timeout)
            for image in images
        },
        timeout,
    )
    return [
        (
            image,
            answer
            if isinstance(answer := answers[image], str)
            else UserError(_describe(answer, image, timeout)),
        )
        for image in images
    ]


def _ask_registry(image: PinnedImage, settings: StackSettings, timeout: float) -> VersionReport:
    with _connect(image, settings.registry_login, timeout) as client:
        report = assess_image(image, client.list_tags())
        if not report.newest or settings.image_archives:
            return report
        try:
            return replace(report, digest=client.read_digest(report.newest))
        except UserError as error:
            # Docker would take the bytes of an older digest, whatever the new tag says.
            note = (
                f"the digest of {report.newest} is not known ({error}): remove the digest of the "
                "older version from the settings, and run `infisical-iac outdated --pin` after "
                "the change"
            )
            return replace(report, notes=(*report.notes, note))


def _ask_digest(image: PinnedImage, logins: Sequence[RegistryLogin], timeout: float) -> str:
    with _connect(image, logins, timeout) as client:
        return client.read_digest(image.parts.tag)


def _connect(image: PinnedImage, logins: Sequence[RegistryLogin], timeout: float) -> RegistryClient:
    login = choose_login(logins, image.parts.registry)
    credentials = RegistryCredentials(login.user, read_password(login)) if login else None
    return RegistryClient(image.parts, timeout=timeout, login=credentials)


def _ask_client(timeout: float) -> VersionReport:
    client = tool_versions.detect_client()
    if client is None:
        clone = assess_tool("", bundle.version(), None)
        return replace(clone, notes=("it runs from a clone, and `git pull` gets the newest",))
    newest = tool_versions.ask_newest(client, timeout=timeout)
    return assess_tool(newest, bundle.version(), client)


def _unknown(image: PinnedImage) -> VersionReport:
    shown = image_name(image.reference)
    return VersionReport(image.name, image.setting, shown, image.parts.tag)


def _describe(error: Exception | None, image: PinnedImage | None, timeout: float) -> str:
    if isinstance(error, UserError):
        return str(error)
    if error is not None:  # A server may send what no library expects.
        return f"the answer can't be read ({type(error).__name__})"
    asked = image.parts.registry if image else "the package client"
    return f"no answer from {asked} in {timeout:g} s"


_K = TypeVar("_K")


def ask_all(
    questions: Mapping[_K, Callable[[], _T]], timeout: float
) -> dict[_K, _T | Exception | None]:
    """Call all functions at once, and return what each returned or raised; None for no answer yet.

    The threads are daemons, so that a waiting thread does not delay the end of the process.
    """
    answers: dict[_K, _T | Exception | None] = dict.fromkeys(questions)

    def answer(name: _K, question: Callable[[], _T]) -> None:
        try:
            answers[name] = question()
        except Exception as error:  # The caller reports it, so it must not end the thread.
            answers[name] = error

    threads = [
        threading.Thread(target=answer, args=each, daemon=True) for each in questions.items()
    ]
    deadline = time.monotonic() + timeout
    for each in threads:
        each.start()
    for each in threads:
        each.join(max(0.0, deadline - time.monotonic()))
    return dict(answers)


def row(reports: Sequence[VersionReport]) -> Row:
    """Return the row of `status` on new versions, which never counts as a failure."""
    newer = [f"{each.name} {each.newest}" for each in reports if each.newest]
    if newer:
        text = f"{', '.join(newer)}: `infisical-iac outdated`"
        return Row("New versions", text, is_note=True)
    unknown = dict.fromkeys(each.unknown for each in reports if each.unknown)
    if not unknown:
        return Row("New versions", "none")
    return Row("New versions", f"not known: {'; '.join(unknown)}", is_note=True)


_API = "https://api.github.com"
# The projects' repositories, by the last part of an image's name.
_PROJECTS = {
    "infisical": "Infisical/infisical",
    "redis": "redis/redis",
    "caddy": "caddyserver/caddy",
    "etcd": "etcd-io/etcd",
}
# A repository may have the releases of other programs too, such as `infisical-cli/v0.41.90`.
_RELEASE_TAG = re.compile(r"(?:infisical/)?v?(\d+(?:\.\d+)+)(?:-postgres)?")
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
                releases = _ask_project(client, project)
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


def _ask_project(client: httpx.Client, project: str) -> list[Mapping[str, Any]]:
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
    first, last = _release_numbers(pinned), _release_numbers(newest)
    identifiers: dict[str, None] = {}
    named = []
    for release in releases:
        numbers = _release_numbers(str(release.get("tag_name", "")))
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


def _release_numbers(tag: str) -> Numbers:
    """Return the numbers of a tag; none for a tag of another form."""
    match = _RELEASE_TAG.fullmatch(tag)
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
