"""Inspect the start of services: their commands, loaders and `.infisical.json`."""

import json
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from infisical_iac.check import javascript, python
from infisical_iac.check.model import Cause, CheckFinding
from infisical_iac.core.errors import FileError
from infisical_iac.core.validation import is_confidential
from infisical_iac.core.wording import join_names
from infisical_iac.dotenv.grammar import LANGUAGES, NODE, PYTHON
from infisical_iac.migrate import evidence
from infisical_iac.migrate.evidence import Text, upwards
from infisical_iac.migrate.find import service_of
from infisical_iac.migrate.loaders import without_comments
from infisical_iac.workspace.local_file import NAME, LocalFile, parse
from infisical_iac.workspace.model import Workspace

_DOCKER_ENV = re.compile(r"(?m)^\s*ENV\s+((?:.*\\\n)*.*)")
_ASSIGNED = re.compile(r"(?:^|\s)([A-Za-z_]\w*)(?:=(\S*)|\s+(\S+))")


class Started(NamedTuple):
    """A container that a compose file starts.

    Attributes:
        build: the directory that its image is built from; None if it is built elsewhere.
        given: the variables that the compose file sets to a value.
    """

    name: str
    build: str | None
    command: str
    given: frozenset[str]


def containers(paths: Iterable[str], text: Text) -> Iterator[Started]:
    """Yield the containers that the compose files among `paths` start."""
    for path in evidence.compose_files(paths):
        for name, data in evidence.compose_services(text(path)):
            build = data.get("build")
            context = build.get("context", ".") if isinstance(build, dict) else build
            place = None
            if context:
                place = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(context)))
            commands = filter(None, (data.get("entrypoint"), data.get("command")))
            words = (each if isinstance(each, list) else [each] for each in commands)
            command = " ".join(str(word) for each in words for word in each)
            given = frozenset(_set_variables(data.get("environment")))
            yield Started(name, "" if place == "." else place, command, given)


def belongs(started: Started, service: str, homes: Sequence[str], workspace: Workspace) -> bool:
    """Return whether a container belongs to a service: by its build directory or its name."""
    if started.build is not None and started.build in homes:
        return True
    return service_of("-", "", (started.name,), workspace) == service


def set_in_image(dockerfile: str) -> set[str]:
    """Return the variables that a Dockerfile sets."""
    lines = (found[1].replace("\\\n", " ") for found in _DOCKER_ENV.finditer(dockerfile))
    return {each[1] for line in lines for each in _ASSIGNED.finditer(line)}


def _set_variables(environment: Any) -> Iterator[str]:
    """Yield the variables that have a value, not those that are passed through."""
    if isinstance(environment, list):
        pairs = [str(each).partition("=")[::2] for each in environment]
        environment = {name: value or None for name, value in pairs}
    for name, value in environment.items() if isinstance(environment, dict) else ():
        if value is not None and "$" not in str(value):
            yield str(name)


RUNNER = re.compile(r"(?<![\w-])(with-secrets|python[\d.]* -m infisical_config|infisical run)\b")
# The runners among them that the loader's package installs.
_OWN_RUNNER = re.compile(r"(?<![\w-])(with-secrets|python[\d.]* -m infisical_config)\b")
# A requirement of the package by its name, or by the path of its file.
_PYTHON = re.compile(
    r"(?i)(?<![\w./-])infisical[-_.]config(?![\w-])"
    r"|(?<![\w.-])infisical_config-\d[^\s/]*\.(?:whl|tar\.gz)\b"
)
_PACKAGE_FILE = re.compile(r"infisical[-_]config-\d.*\.(?:whl|tar\.gz|tgz)")
_INSTALLED = re.compile(r"(?i)infisical[-_.]config|\*\.(?:whl|tgz)|--find-links")
# Files that may hold the command of a service.
_STARTING = re.compile(
    r"(Docker|Container|Proc)file([.-].*)?|[Mm]akefile|[Jj]ustfile"
    r"|.*\.([Dd]ockerfile|sh|service|mk|ya?ml|toml)|(nodemon|project|railway)\.json"
)


def has_loader(
    paths: Collection[str], text: Text, containers: Iterable[Started], shared: Iterable[str] = ()
) -> bool:
    """Return whether a service loads its secrets, or is started by a runner.

    A mere dependency on the loader does not count, unless shared code loads it.

    Args:
        paths: of the service's files and the manifests above them, without tests.
        containers: those that compose files start for it.
        shared: the paths of code that belongs to no service.
    """
    commands = (each.command for each in containers)
    if any(map(RUNNER.search, commands)) or any(_is_started(path, text) for path in paths):
        return True
    return imports_loader(paths, shared, text)


def imports_loader(paths: Collection[str], shared: Iterable[str], text: Text) -> bool:
    """Return whether a service's code loads its secrets, or shared code does and it has the loader.

    The arguments are those of `has_loader`.
    """
    if any(_loads(path, text) for path in paths):
        return True
    return depends_on_loader(paths, text) and any(_loads(path, text) for path in shared)


def lacks_package(
    paths: Collection[str], text: Text, containers: Iterable[Started], shared: Iterable[str] = ()
) -> bool:
    """Return whether the runner of the loader's package starts a service without that package.

    The arguments are those of `has_loader`. The answer is no if the service's manifests are
    unknown, if it has the package's file, or if an image or a script of it installs the package.
    """
    commands = (each.command for each in containers)
    is_run = any(map(_OWN_RUNNER.search, commands)) or any(
        _is_run(path, text, _OWN_RUNNER) for path in paths
    )
    places = [*paths, *shared]
    has_manifest = any(each.is_manifest(path) for path in paths for each in LANGUAGES)
    if not is_run or not has_manifest or depends_on_loader(places, text):
        return False
    return not any(_installs(path, text) for path in places)


def _installs(path: str, text: Text) -> bool:
    """Return whether a file is the package, or a script that installs it or packages of a path."""
    name = posixpath.basename(path)
    if _PACKAGE_FILE.fullmatch(name):
        return True
    if not _STARTING.fullmatch(name):
        return False
    return bool(_INSTALLED.search(_OWN_RUNNER.sub("", _as_shell(text(path)))))


def depends_on_loader(paths: Iterable[str], text: Text) -> bool:
    """Return whether one of the manifests among `paths` names the loader's package."""
    return any(_requires(path, text) for path in paths)


def _requires(path: str, text: Text) -> bool:
    name = posixpath.basename(path)
    if PYTHON.is_manifest(name):
        return bool(_PYTHON.search(without_comments(text(path))))
    if not NODE.is_manifest(name):
        return False
    lists = map(read_package(text(path)).get, _DEPENDENCIES)
    return any(javascript.PACKAGE in each for each in lists if isinstance(each, dict))


_DEPENDENCIES = ("dependencies", "optionalDependencies", "devDependencies")


def _loads(path: str, text: Text) -> bool:
    """Return whether a file is code that imports the loader."""
    if path.endswith(javascript.ENDINGS):
        return javascript.uses_loader(path, text(path))
    return path.endswith(python.ENDINGS) and python.imports_loader(text(path))


def _is_started(path: str, text: Text) -> bool:
    """Return whether a file of a service loads its secrets, or starts it by a runner."""
    return _loads(path, text) or _is_run(path, text, RUNNER)


def _is_run(path: str, text: Text, runner: re.Pattern[str]) -> bool:
    """Return whether a file of a service starts it by a runner."""
    name = posixpath.basename(path)
    if NODE.is_manifest(name):
        scripts = read_package(text(path)).get("scripts")
        commands = scripts.values() if isinstance(scripts, dict) else ()
        return any(runner.search(str(each)) for each in commands)
    return bool(_STARTING.fullmatch(name) and runner.search(_as_shell(text(path))))


def _as_shell(text: str) -> str:
    """Return a script without comments, with quoted lists of words written as shell commands.

    CMD ["python", "-m", "infisical_config", "--", …] is the same command as a line of a shell.
    """
    return re.sub(r"""["'],\s*["']""", " ", re.sub(r"(?m)^\s*#.*", "", text))


def read_package(text: str) -> dict[str, Any]:
    """Return the data of a package.json; empty for one that npm can't read either."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def is_outdated(domain: str, address: str) -> bool:
    """Return whether a file has the address of an SSH tunnel although Infisical has a domain."""
    is_tunnel = domain.startswith("http://") and is_confidential(domain)
    return is_tunnel and address.startswith("https://")


def local_file(
    homes: Sequence[str],
    paths: Iterable[str],
    text: Text,
    known: LocalFile,
    address: str,
) -> Iterator[CheckFinding]:
    """Yield the findings on a service's `.infisical.json`, which may be in a parent directory.

    Args:
        homes: the directories of the service; findings name the first one.
        known: the service's folder, and the ids of its projects; unknown ones are not compared.
        address: of Infisical; "" if it is unknown. The address of an SSH tunnel to it is good while
            Infisical has no domain. Another address is a note, because one server can have two.
    """
    fix = "`infisical-iac check --fix` corrects it"
    remedy = f"{fix}." if known.ids else f"{fix}, once `infisical-iac apply` has deployed."
    there = [posixpath.join(up, NAME) for home in homes for up in upwards(home)]
    found = next((path for path in there if path in paths), "")
    if not found:
        remedy = (
            "`infisical-iac check --fix` writes it."
            if known.ids
            else "Before the first deploy `infisical-iac init` writes it; after `infisical-iac "
            "apply`, `infisical-iac check --fix` does."
        )
        message = f"It is missing: a service finds Infisical by it. {remedy}"
        cause = Cause(there[0], "", remedy)
        yield CheckFinding("no-local-file", there[0], "", message, cause=cause)
        return
    try:
        file = parse(text(found))
    except FileError as error:
        yield CheckFinding("local-file", found, "", f"It {error}.")
        return
    if (file.folder or "/") != known.folder:
        message = f"Its defaultSecretPath is {file.folder or '/'}, not {known.folder}. {remedy}"
        yield CheckFinding("local-file", found, "", message)
    if not file.domain:
        message = f"It has no domain: a service finds Infisical by it. {remedy}"
        yield CheckFinding("local-file", found, "", message)
    elif not file.domain.startswith(("http://", "https://")):
        message = "It has no domain that begins with https://. Write Infisical's address into it."
        yield CheckFinding("local-file", found, "", message)
    elif not is_confidential(file.domain):
        message = (
            f"Its domain is {file.domain}, where credentials would go unencrypted: the loaders "
            "refuse it without INFISICAL_ALLOW_HTTP=1. Write https://."
        )
        yield CheckFinding("local-file", found, "", message)
    elif is_outdated(file.domain, address):
        message = (
            f"Its domain, {file.domain}, is the address of an SSH tunnel, but Infisical is at "
            f"{address}. {remedy}"
        )
        yield CheckFinding("local-file", found, "", message)
    elif address.startswith("https://") and file.domain.rstrip("/") != address.rstrip("/"):
        message = (
            f"Its domain is {file.domain}, but the Infisical that was checked is at {address}. If "
            f"these are two servers, write {address} into it."
        )
        yield CheckFinding("local-file", found, "", message, is_note=True)
    for what in _wrong_ids(file, known):
        yield CheckFinding("local-file", found, "", f"Its {what}. {remedy}")


def _wrong_ids(file: LocalFile, known: LocalFile) -> Iterator[str]:
    """Yield a clause for each mistake in the project ids of a file."""
    if known.projects:
        if file.project_id:
            yield "workspaceId names one project for all, but each service has its own projects"
        elif not file.projects:
            yield "projects are missing"
        if not file.projects:
            return
        wrong = [slug for slug, own in known.projects.items() if file.projects.get(slug) != own]
        lacking = [slug for slug in wrong if slug not in file.projects]
        if lacking:
            yield f"projects lack {join_names(lacking)}"
        if others := [slug for slug in wrong if slug not in lacking]:
            yield f"projects for {join_names(others)} are not the service's"
        return
    if known.project_id and file.projects:
        yield "projects name a project for each service, but one project holds all secrets"
    if not file.project_id:
        if not file.projects:
            yield "workspaceId is missing"
    elif known.project_id and file.project_id != known.project_id:
        yield "workspaceId is not the project's"
