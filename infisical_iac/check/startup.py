"""Check that a service takes its secrets from Infisical when it starts."""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from infisical_iac.check import javascript, python
from infisical_iac.check.compose import Started
from infisical_iac.check.model import Finding
from infisical_iac.forms import is_confidential
from infisical_iac.local_file import NAME, LocalFileError, parse
from infisical_iac.migrate.packages import is_python, without_comments
from infisical_iac.migrate.signs import Text, upwards

_REMEDY = "`infisical-iac check --fix` sets it right."
_RUNNER = re.compile(r"(?<![\w-])(with-secrets|python[\d.]* -m infisical_config|infisical run)\b")
_PYTHON = re.compile(r"(?i)(?<![\w./-])infisical[-_.]config(?![\w-])")
_STARTING = re.compile(
    r"(Docker|Container|Proc)file([.-].*)?|.*\.([Dd]ockerfile|sh|service|mk)|[Mm]akefile|[Jj]ustfile"
)


def has_loader(paths: Iterable[str], text: Text, containers: Iterable[Started]) -> bool:
    """Return whether a service depends on the loader, imports it, or is started by a runner.

    Args:
        paths: of the service's files and the manifests above them.
        containers: those that compose files start for it.
    """
    commands = (each.command for each in containers)
    return any(map(_RUNNER.search, commands)) or any(_shows(path, text) for path in paths)


def _shows(path: str, text: Text) -> bool:
    name = posixpath.basename(path)
    if name == "package.json":
        return _in_package(text(path))
    if is_python(name):
        return bool(_PYTHON.search(without_comments(text(path))))
    if name.endswith(javascript.ENDINGS):
        return javascript.uses_loader(path, text(path))
    if name.endswith(python.ENDINGS):
        return python.imports_loader(text(path))
    return bool(_STARTING.fullmatch(name)) and _runs(text(path))


def _runs(text: str) -> bool:
    # CMD ["python", "-m", "infisical_config", "--", …] says the same as a line of a shell.
    commands = re.sub(r"(?m)^\s*#.*", "", text)
    return bool(_RUNNER.search(re.sub(r"""["'],\s*["']""", " ", commands)))


def _in_package(text: str) -> bool:
    try:
        data: Any = json.loads(text)
        needed = {*(data.get("dependencies") or ()), *(data.get("optionalDependencies") or ())}
        scripts = (data.get("scripts") or {}).values()
        return javascript.PACKAGE in needed or any(_RUNNER.search(str(each)) for each in scripts)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False  # what npm can't read either depends on nothing


def local_file(
    homes: Sequence[str], paths: Iterable[str], text: Text, folder: str, project_id: str
) -> Iterator[Finding]:
    """Yield what is wrong with a service's `.infisical.json`, which may stand in a directory above.

    Args:
        homes: the directories of the service; what is said is about the first.
        folder: of the service in Infisical.
        project_id: the project's id; "" if it isn't known, and then it is not compared.
    """
    there = [posixpath.join(up, NAME) for home in homes for up in upwards(home)]
    found = next((path for path in there if path in paths), "")
    if not found:
        message = f"It is missing: a service finds Infisical by it. {_REMEDY}"
        yield Finding("no-local-file", there[0], "", message)
        return
    try:
        file = parse(text(found))
    except LocalFileError as error:
        yield Finding("local-file", found, "", f"It {error}.")
        return
    if (file.folder or "/") != folder:
        message = f"Its defaultSecretPath is {file.folder or '/'}, not {folder}. {_REMEDY}"
        yield Finding("local-file", found, "", message)
    if not file.domain.startswith(("http://", "https://")):
        message = "It has no domain that begins with https://. Write Infisical's address into it."
        yield Finding("local-file", found, "", message)
    elif not is_confidential(file.domain):
        message = (
            f"Its domain is {file.domain}, where credentials would go unencrypted: the loaders "
            "refuse it without INFISICAL_ALLOW_HTTP=1. Write https://."
        )
        yield Finding("local-file", found, "", message)
    if not file.project_id or (project_id and file.project_id != project_id):
        what = "is not the project's" if file.project_id else "is missing"
        yield Finding("local-file", found, "", f"Its workspaceId {what}. {_REMEDY}")
