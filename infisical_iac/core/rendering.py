"""Load the shell scripts that run on the host, and render the templates of its files."""

import re
import shlex
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_SCRIPTS = Path(__file__).parents[1] / "scripts"
_TEMPLATES = Path(__file__).parents[2] / "templates"
# One folder for each slice; a template's name is unique across them.
_FOLDERS = sorted(each for each in _TEMPLATES.iterdir() if each.is_dir())


def script(name: str, *arguments: str) -> str:
    """Return the command that runs the script `<name>.sh`; no argument may be a secret."""
    return shlex.join(["sh", "-c", _text(name), f"{name}.sh", *arguments])


@cache
def script_file(name: str) -> str:
    """Return the text of `scripts/<slice>/<name>.sh`, with the scripts that it includes inlined.

    On the host, the included scripts are not next to it: it is passed as an argument, or is the
    only file.
    """
    (file,) = _SCRIPTS.glob(f"*/{name}.sh")
    text = file.read_text()
    return re.sub(r"(?m)^\. \./([a-z-]+)\.sh\n", lambda included: script_file(included[1]), text)


@cache
def _text(name: str) -> str:
    lines = script_file(name).splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def template(name: str, **values: object) -> str:
    """Return `templates/<slice>/<name>.j2` rendered with `values`; a missing value is an error."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDERS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.j2").render(values)
