"""The shell scripts that run on the host, and the templates that become files there."""

import re
import shlex
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_SCRIPTS = Path(__file__).parent / "scripts"
_TEMPLATES = Path(__file__).parent.parent / "templates"


def script(name: str, *arguments: str) -> str:
    """The command that runs `scripts/<name>.sh` with `arguments`, none of them a secret."""
    return shlex.join(["sh", "-c", _text(name), f"{name}.sh", *arguments])


def script_file(name: str) -> str:
    """The text of `scripts/<name>.sh`, for a file on the host."""
    return (_SCRIPTS / f"{name}.sh").read_text()


@cache
def _text(name: str) -> str:
    lines = script_file(name).splitlines()
    return "\n".join(_line(line) for line in lines if line and not line.startswith("#"))


def _line(line: str) -> str:
    """A line of a script; for one that reads the script beside it, that one's text.

    On the host there is none beside it, for it comes as an argument.
    """
    beside = re.fullmatch(r"\. \./([a-z-]+)\.sh", line)
    return _text(beside[1]) if beside else line


def template(name: str, **values: object) -> str:
    """`templates/<name>.j2` rendered with `values`; a name it lacks is an error."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{name}.j2").render(values)
