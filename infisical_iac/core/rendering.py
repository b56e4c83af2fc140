"""Load the shell scripts that run on the host, and render the templates of its files."""

import re
import shlex
import traceback
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined, TemplateSyntaxError

from infisical_iac.core import overrides
from infisical_iac.core.bundle import SCRIPTS, TEMPLATES
from infisical_iac.core.errors import LAYOUT, FileError, mask_logins, printable

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
            own = overrides.name_of(Path(file))
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
    file = overrides.find_file(shipped)
    text = file.read_text("utf-8")
    return text, str(file), lambda: _is_current(shipped, file, text)


def _is_current(shipped: Path, file: Path, text: str) -> bool:
    """Return whether the same file with the same text is still to be rendered."""
    return overrides.find_file(shipped) == file and file.read_text("utf-8") == text


@cache
def _find_shipped(name: str) -> Path | None:
    return next((each / name for each in _FOLDERS if (each / name).is_file()), None)


def _find_own_line(error: Exception) -> tuple[str, int | None] | None:
    """Return the file and line of the user's template that raised an error; None for no such."""
    frames = [(each.filename, each.lineno) for each in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, TemplateSyntaxError):
        frames.append((error.filename or "", error.lineno))
    own = (
        (file, line) for file, line in reversed(frames) if overrides.FOLDER in Path(file).parents
    )
    return next(own, None)
