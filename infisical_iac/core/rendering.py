"""Load the shell scripts that run on the host, and render the templates of its files.

A file in `templates/` of the user's repository replaces the tool's template with the same path.
`infisical-iac eject` copies the tool's there. It keeps the original next to it, in
`templates/.ejected/`, with the version of the tool. So a later version can show what it has changed
in the original.

Only files that are deployed can be replaced. Commands such as `migrate` run in repositories of
services too, and must not run templates that they find there.
"""

import json
import re
import shlex
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches, unified_diff
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FunctionLoader, StrictUndefined, TemplateSyntaxError

from infisical_iac.core import atomic
from infisical_iac.core.bundle import SCRIPTS, TEMPLATES, version
from infisical_iac.core.errors import (
    LAYOUT,
    FileError,
    Refused,
    SettingsError,
    mask_logins,
    printable,
)
from infisical_iac.core.wording import join_names

# One folder for each slice; a template's name is unique across them.
_FOLDERS = sorted(each for each in TEMPLATES.iterdir() if each.is_dir())


def script(name: str, *arguments: str) -> str:
    """Return the command that runs the script `<name>.sh`; no argument may be a secret."""
    return shlex.join(["sh", "-c", _text(name), f"{name}.sh", *arguments])


@cache
def script_file(name: str) -> str:
    """Return the text of `scripts/<slice>/<name>.sh`, with the scripts that it includes inlined.

    On the host, the included scripts are not next to it: it is passed as an argument, or is the
    only file.
    """
    (file,) = SCRIPTS.glob(f"*/{name}.sh")
    text = file.read_text()
    return re.sub(r"(?m)^\. \./([a-z-]+)\.sh\n", lambda included: script_file(included[1]), text)


@cache
def _text(name: str) -> str:
    lines = script_file(name).splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def digest(content: str) -> str:
    """Return the first 12 digits of the content's SHA-256, for a name that changes with it."""
    return sha256(content.encode()).hexdigest()[:12]


def template(name: str, **values: object) -> str:
    """Return `templates/<slice>/<name>.j2` rendered with `values`; a missing value is an error.

    If the name ends in `.html`, values are escaped, and credentials in addresses are masked. A
    template of the user's repository replaces the tool's template of the same name. Raises
    FileError if the user's template can't be rendered.
    """
    environment = _environment(is_page=name.endswith(".html"))
    try:
        return environment.get_template(f"{name}.j2").render(values)
    except Exception as error:  # a user's template is a program, which can raise anything
        if found := _find_own_line(error):
            file, line = found
            own = name_of(Path(file))
            raise FileError(
                f"{file}, line {line}: {error}; compare it with the original by `infisical-iac "
                f"eject {own} --diff`",
                code="file.template",
            ) from None
        raise


@cache
def _environment(*, is_page: bool) -> Environment:
    """Return the environment, which keeps compiled templates: compiling takes most of the time."""
    return Environment(
        loader=FunctionLoader(_load),
        undefined=StrictUndefined,
        autoescape=is_page,
        finalize=_mask if is_page else None,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _mask(value: object) -> object:
    """Return a text as a page may show it; other values, such as escaped text, stay as they are."""
    return printable(mask_logins(value), keep=LAYOUT) if type(value) is str else value


def _load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
    """Return the text and the file of a template for Jinja; None if the tool has none.

    Jinja compiles it again once the function that comes with it returns False.
    """
    shipped = _find_shipped(name)
    if shipped is None:
        return None
    file = find_file(shipped)
    text = file.read_text("utf-8")
    return text, str(file), lambda: _is_current(shipped, file, text)


def _is_current(shipped: Path, file: Path, text: str) -> bool:
    """Return whether the same file with the same text is still to be rendered."""
    return find_file(shipped) == file and file.read_text("utf-8") == text


@cache
def _find_shipped(name: str) -> Path | None:
    return next((each / name for each in _FOLDERS if (each / name).is_file()), None)


def _find_own_line(error: Exception) -> tuple[str, int | None] | None:
    """Return the file and line of the user's template that raised an error; None for no such."""
    frames = [(each.filename, each.lineno) for each in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, TemplateSyntaxError):
        frames.append((error.filename or "", error.lineno))
    own = ((file, line) for file, line in reversed(frames) if FOLDER in Path(file).parents)
    return next(own, None)


FOLDER = Path("templates")
_SUFFIX = ".j2"
_NOT_DEPLOYED = {"init", "migrate", "pages"}
_ORIGINALS = FOLDER / ".ejected"
_RECORDS = _ORIGINALS / "versions.json"

OverrideState = Literal["current", "outdated", "unrecorded", "unknown"]


@dataclass(frozen=True)
class Origin:
    """The original that an override is based on: the version of the tool, and the text's hash."""

    version: str
    sha256: str


@dataclass(frozen=True)
class Override:
    """A template of the user's repository.

    Attributes:
        name: its path in `templates/`, without `.j2`, such as `stack/compose.yaml`.
        state: `current` if it is based on this version's original, `outdated` if the original has
            changed since, `unrecorded` if its origin is unknown, and `unknown` if this version has
            no such template.
        origin: None if it is unknown.
    """

    name: str
    state: OverrideState
    origin: Origin | None

    @property
    def file(self) -> Path:
        """The file in the user's repository."""
        return _own(self.name)


def find_file(shipped: Path) -> Path:
    """Return the file to render for one of the tool's templates: the user's, if there is one.

    The user's file has the same path, so it replaces only that template.
    """
    path = shipped.relative_to(TEMPLATES)
    own = FOLDER / path
    is_replaceable = path.parts[0] not in _NOT_DEPLOYED and not _is_tools_own()
    return own if is_replaceable and own.is_file() else shipped


@cache
def list_templates() -> tuple[str, ...]:
    """Return the names of all templates that can be replaced."""
    return tuple(
        sorted(
            str(file.relative_to(TEMPLATES)).removesuffix(_SUFFIX)
            for file in TEMPLATES.rglob(f"*{_SUFFIX}")
            if file.relative_to(TEMPLATES).parts[0] not in _NOT_DEPLOYED
        )
    )


def find_template(text: str) -> str:
    """Return the name of the template that a user means by its path or the end of it.

    Raises SettingsError with the closest names if there is none, or with all if there are several.
    """
    given = text.removeprefix(f"{FOLDER}/").removesuffix(_SUFFIX)
    names = list_templates()
    found = [given] if given in names else [n for n in names if n.endswith(f"/{given}")]
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError(
            f"{text!r} matches {len(found)} templates: give the path of one: {join_names(found)}",
            code="settings.template",
        )
    ends = {name.rpartition("/")[2]: name for name in names}
    close = get_close_matches(given, [*names, *ends], n=1)
    all_of_them = "`infisical-iac eject` lists all"
    hint = f"did you mean {ends.get(close[0], close[0])!r}?" if close else all_of_them
    raise SettingsError(f"there is no template {text!r}: {hint}", code="settings.template")


def list_overrides() -> list[Override]:
    """Return the templates of the user's repository, by name. Raises FileError."""
    if _is_tools_own():
        return []
    origins = _read_origins()
    files = (
        file
        for folder in sorted(FOLDER.glob("[!.]*"))
        if folder.name not in _NOT_DEPLOYED
        for file in sorted(folder.rglob(f"*{_SUFFIX}"))
    )
    return [
        Override(name, _assess(name, origins), origins.get(name)) for name in map(name_of, files)
    ]


def name_of(file: Path) -> str:
    """Return the name of the template in a file of the user's repository."""
    return str(file.relative_to(FOLDER)).removesuffix(_SUFFIX)


def _assess(name: str, origins: Mapping[str, Origin]) -> OverrideState:
    if name not in list_templates():
        return "unknown"
    text = _shipped_file(name).read_text("utf-8")
    if _read(_own(name)) == text:
        return "current"
    if name not in origins:
        return "unrecorded"
    return "current" if origins[name].sha256 == _hash(text) else "outdated"


def eject(name: str) -> Path:
    """Copy a template of the tool to the user's repository, and record the version.

    Raises Refused if it is there already, and FileError if it can't be written.
    """
    if _is_tools_own():
        raise Refused(
            f"{FOLDER}/ has the tool's own templates here: edit {_own(name)} itself",
            code="refused.tools_own_templates",
        )
    file = _own(name)
    if file.exists():
        raise Refused(
            f"{file} exists: compare it by `infisical-iac eject {name} --diff`, and keep it with "
            "--keep-mine, or delete it first",
            code="refused.ejected",
        )
    _write(file, _shipped_file(name).read_text("utf-8"))
    _record(name)
    return file


def keep(name: str) -> None:
    """Record that the user's template is based on the original of this version.

    Raises Refused if the user has no such template, and FileError if it can't be recorded.
    """
    _require_own(name)
    _record(name)


def compare(name: str) -> str:
    """Return how the user's template differs from this version's, as a unified difference."""
    _require_own(name)
    shipped = _shipped_file(name).read_text("utf-8")
    return _diff(shipped, _read(_own(name)), f"{name} of {version()}", str(_own(name)))


def describe_overrides() -> list[str]:
    """Return a sentence on each override that needs attention, with changes of its original."""
    if _is_tools_own():
        return []
    sentences = [_describe(each) for each in list_overrides() if each.state != "current"]
    for file in sorted(FOLDER.glob(f"*{_SUFFIX}")):
        base = file.name.removesuffix(_SUFFIX)
        if places := [name for name in list_templates() if name.endswith(f"/{base}")]:
            sentences.append(f"{file} is not read: move it to {join_names(map(_own, places))}")
    return sentences


def _describe(override: Override) -> str:
    file, name, origin = override.file, override.name, override.origin
    command = f"infisical-iac eject {name}"
    if override.state == "unknown":
        return f"{file} replaces nothing, as {version()} has no such template: remove it"
    if origin is None:
        return (
            f"{file} replaces a template of an unknown version: compare both by `{command} "
            f"--diff`, then record this version by `{command} --keep-mine`"
        )
    remedy = f"copy what you need into yours, then run `{command} --keep-mine`"
    sentence = f"{file} is based on {origin.version}, and the template changed in {version()}"
    original = _ORIGINALS / f"{name}{_SUFFIX}"
    before = _read(original) if original.is_file() else ""
    if _hash(before) != origin.sha256:
        return f"{sentence} (the original of {origin.version} is missing: {original}): {remedy}"
    old, new = f"{name} of {origin.version}", f"{name} of {version()}"
    return (
        f"{sentence}: {remedy}\n{_diff(before, _shipped_file(name).read_text('utf-8'), old, new)}"
    )


def _diff(before: str, after: str, old: str, new: str) -> str:
    return "\n".join(unified_diff(before.splitlines(), after.splitlines(), old, new, lineterm=""))


def _is_tools_own() -> bool:
    """Return whether the working directory is a checkout of this project."""
    return FOLDER.is_dir() and FOLDER.samefile(TEMPLATES)


def _own(name: str) -> Path:
    return FOLDER / f"{name}{_SUFFIX}"


def _shipped_file(name: str) -> Path:
    return TEMPLATES / f"{name}{_SUFFIX}"


def _require_own(name: str) -> None:
    if _is_tools_own() or not _own(name).is_file():
        raise Refused(
            f"there is no template {_own(name)} of yours: make one by `infisical-iac eject {name}`",
            code="refused.not_ejected",
        )


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{file} can't be read: {error}", code="file.template") from None


def _read_origins() -> dict[str, Origin]:
    if not _RECORDS.is_file():
        return {}
    try:
        return {name: Origin(**each) for name, each in json.loads(_read(_RECORDS)).items()}
    except (ValueError, TypeError, AttributeError):
        raise FileError(
            f"{_RECORDS} can't be read: restore it from git, or delete it and run `infisical-iac "
            "eject TEMPLATE --keep-mine` for each of your templates",
            code="file.template",
        ) from None


def _record(name: str) -> None:
    text = _shipped_file(name).read_text("utf-8")
    origins = _read_origins() | {name: Origin(version(), _hash(text))}
    kept = dict(sorted(_existing(origins)))
    _write(_ORIGINALS / f"{name}{_SUFFIX}", text)
    _write(_RECORDS, json.dumps({key: asdict(each) for key, each in kept.items()}, indent=2) + "\n")


def _existing(origins: Mapping[str, Origin]) -> Iterator[tuple[str, Origin]]:
    return (each for each in origins.items() if _own(each[0]).exists())


def _write(file: Path, text: str) -> None:
    with atomic.explain_failure(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(file, text)
