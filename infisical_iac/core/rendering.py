"""The shell scripts that run on the host, and the templates that become files there."""

import re
import shlex
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_SCRIPTS = Path(__file__).parents[1] / "scripts"
_TEMPLATES = Path(__file__).parents[2] / "templates"
# A folder a slice; no name is in two of them.
_FOLDERS = sorted(each for each in _TEMPLATES.iterdir() if each.is_dir())


def script(name: str, *arguments: str) -> str:
    """The command that runs the script `<name>.sh` with `arguments`, none of them a secret."""
    return shlex.join(["sh", "-c", _text(name), f"{name}.sh", *arguments])


@cache
def script_file(name: str) -> str:
    """The text of `scripts/<slice>/<name>.sh`, with that of each script that it reads.

    On the host there may be none beside it, for it comes as an argument, or alone.
    """
    (file,) = _SCRIPTS.glob(f"*/{name}.sh")
    text = file.read_text()
    return re.sub(r"(?m)^\. \./([a-z-]+)\.sh\n", lambda beside: script_file(beside[1]), text)


@cache
def _text(name: str) -> str:
    lines = script_file(name).splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def template(name: str, **values: object) -> str:
    """`templates/<slice>/<name>.j2` rendered with `values`; a name it lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDERS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.j2").render(values)
