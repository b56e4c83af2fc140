"""Versions of this tool: the newest one that its package client knows, and their changes."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from infisical_iac.core import bundle
from infisical_iac.core.bundle import CHANGELOG, NAME
from infisical_iac.core.errors import Unreachable, UserError
from infisical_iac.core.images import Numbers

_HEADING = re.compile(r"^## \[?v?(\d+(?:\.\d+)+)\]?", re.MULTILINE)
_ANY_HEADING = re.compile(r"^## ", re.MULTILINE)

# The client must answer at once: no retries, no questions, no check of its own version.
_AT_ONCE = {
    "UV_HTTP_RETRIES": "0",
    "PIP_RETRIES": "0",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


@dataclass(frozen=True)
class PackageClient:
    """A package client, and how it is asked.

    Attributes:
        name: the program's name, for sentences.
        command: prints the newest version.
        pattern: finds that version in the output.
        upgrade: the command that upgrades this tool, for people.
        run: the command that runs another version of this tool once, with {} for the version.
        given: the standard input of the command.
        environment: variables of the command.
        is_silent: whether a client that knows no newer version prints nothing.
    """

    name: str
    command: tuple[str, ...]
    pattern: str
    upgrade: str
    run: str
    given: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    is_silent: bool = False


def detect_client(
    prefix: Path = Path(sys.prefix), which: Callable[[str], str | None] = shutil.which
) -> PackageClient | None:
    """Return the client that installed this tool into the environment `prefix`; None for a clone.

    Args:
        which: returns the path of a program, None if there is none.

    Raises UserError if the client's program is gone.
    """
    if not bundle.IS_INSTALLED:
        return None
    uv = os.environ.get("UV") or which("uv")
    has_receipt = (prefix / "uv-receipt.toml").is_file()
    if (prefix / "pipx_metadata.json").is_file():
        return _pipx(_read(prefix / "pipx_metadata.json"))
    if not (has_receipt or _installer() == "uv"):
        return _PIP
    if not uv:
        raise UserError(
            "uv installed this tool and is not on the PATH: add uv to the PATH",
            code="error.no_client",
        )
    if has_receipt:
        return PackageClient(
            name="uv",
            command=(uv, "tool", "list", "--outdated"),
            pattern=rf"^{NAME} v\S+ \[latest: v?(\S+)\]",
            upgrade=f"uv tool upgrade {NAME}",
            run=f"uvx {NAME}@{{}}",
            is_silent=True,
        )
    return PackageClient(
        name="uv",
        command=(
            *(uv, "pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate"),
            *("--python", sys.executable, "-"),
        ),
        pattern=rf"^{NAME}==(\S+)",
        upgrade=f"uv add {NAME}=={{}}",
        run=f"uvx {NAME}@{{}}",
        given=f"{NAME}\n",
    )


_PIP = PackageClient(
    name="pip",
    command=(sys.executable, "-m", "pip", "index", "versions", NAME),
    pattern=rf"^{NAME} \((\S+)\)",
    upgrade=f"pip install {NAME}=={{}}",
    run=f"pipx run --spec {NAME}=={{}} {NAME}",
)


def _pipx(metadata: str) -> PackageClient:
    """Return pip as pipx calls it, with the indexes that the package was installed from."""
    try:
        arguments = json.loads(metadata)["main_package"]["pip_args"] or []
    except (ValueError, TypeError, LookupError):
        arguments = []
    return PackageClient(
        name="pipx",
        command=("pipx", "runpip", NAME, "index", "versions", NAME),
        pattern=_PIP.pattern,
        upgrade=f"pipx upgrade {NAME}",
        run=_PIP.run,
        environment=index_variables(arguments),
    )


_INDEX_OPTIONS = {
    "--index-url": "PIP_INDEX_URL",
    "-i": "PIP_INDEX_URL",
    "--extra-index-url": "PIP_EXTRA_INDEX_URL",
    "--find-links": "PIP_FIND_LINKS",
    "-f": "PIP_FIND_LINKS",
    "--trusted-host": "PIP_TRUSTED_HOST",
}


def index_variables(arguments: Sequence[str]) -> dict[str, str]:
    """Return pip's environment variables for its arguments that name indexes.

    An index may have a password in its address, which must not be in an argument again.
    """
    found: dict[str, list[str]] = {}
    rest = iter(arguments)
    for each in rest:
        option, equals, value = each.partition("=")
        if option == "--no-index":
            found["PIP_NO_INDEX"] = ["1"]
        elif name := _INDEX_OPTIONS.get(option):
            found.setdefault(name, []).append(value if equals else next(rest, ""))
    return {name: " ".join(values) for name, values in found.items()}


def parse_newest(client: PackageClient, output: str) -> str:
    """Return the newest version in a client's output, empty if the output has none."""
    found = re.search(client.pattern, output, re.MULTILINE)
    return found[1] if found else ""


def ask_newest(client: PackageClient, *, timeout: float) -> str:
    """Return the newest version of this tool; the running one if the client knows none newer.

    Raises Unreachable if the client has no answer within `timeout` seconds, and UserError if the
    client can't be run.
    """
    try:
        done = subprocess.run(
            client.command,
            input=client.given,
            env={**os.environ, **_AT_ONCE, **client.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable(
            f"no answer from {client.name} in {timeout:g} s", code="unreachable.package_client"
        ) from None
    except OSError as error:
        raise UserError(
            f"{client.name} can't be run ({error.strerror}): add it to the PATH",
            code="error.no_client",
        ) from None
    newest = parse_newest(client, done.stdout)
    if done.returncode == 0 and (newest or client.is_silent):
        return newest or bundle.version()
    raise Unreachable(f"no answer from {client.name}", code="unreachable.package_client")


def _installer() -> str:
    try:
        return (distribution(NAME).read_text("INSTALLER") or "").strip()
    except PackageNotFoundError:
        return ""


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


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
