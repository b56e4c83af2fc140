"""The questions of `infisical-iac init`: asked on a terminal, or answered by options."""

import ast
import re
import stat
from collections.abc import Callable, Mapping
from difflib import unified_diff
from pathlib import Path
from typing import TypeVar

import click

from infisical_iac.cli.output import answered_by
from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError, SettingsError
from infisical_iac.core.own_repository import list_assignments
from infisical_iac.core.terminal import echo
from infisical_iac.init.answers import LATER, NEW

_T = TypeVar("_T")

# By option, the question with an example, and its default. A question without a default requires
# an answer.
_QUESTIONS: dict[str, tuple[str, str | None]] = {
    "host": (
        f"The server's name or address, such as 203.0.113.7 ({NEW}: one to be made at Hetzner "
        "Cloud)",
        None,
    ),
    "ssh_port": ("The port of SSH there, which is 22 unless somebody changed it", "22"),
    "ssh_public_key": ("The file of your public SSH key", "~/.ssh/id_ed25519.pub"),
    "ssh_user": ("The user to log in as there, root or one with sudo", "root"),
    "domain": (
        "The domain of Infisical, such as secrets.example.com (`none` or nothing: by an SSH tunnel "
        "only)",
        "",
    ),
    "email": ("The first administrator's e-mail address, such as you@example.com", None),
    "services": ("The directory that your services are in, such as ../services", ".."),
    "organization": ("The organization, such as Acme", None),
    "project": ("The project in Infisical, such as Acme Shop", None),
    "environments": (
        "The environments, in the order in which people see them",
        "development, staging, production",
    ),
    "backup": (
        "A second place for backups, such as sftp:u123456@u123456.your-storagebox.de:infisical",
        LATER,
    ),
    "backup_port": ("The port of SFTP there, such as 23", "22"),
    "backup_host_key": (
        "The host key there, such as `ssh-keyscan -t ed25519` prints it: ssh-ed25519 AAAA…",
        None,
    ),
}

# Settings that may hold a secret: a difference shows their names only.
_HIDDEN = re.compile(
    r"^([+ -][#\s]*[\"']?\w*(?:webhook|password|token|secret|login)\w*[\"']?\s*[:=]).*$"
)


def ask_question(
    given: Mapping[str, str | None],
    yes: bool,
    name: str,
    check: Callable[[str], _T],
    default: str = "",
) -> _T:
    """Return the checked value of an option, of its default if `yes`, or of a person's answer.

    Args:
        given: the values of the options.
        check: converts an answer, and raises SettingsError for one that can't be used.
        default: used instead of the question's own; "" for that one.

    Raises SettingsError for an option that can't be used, or is required and missing.
    """
    answer, (text, own_default) = given.get(name), _QUESTIONS[name]
    default_answer = default or own_default
    option = "--" + name.replace("_", "-")
    if answer is None and not yes:
        return prompt(text, default_answer, check, option)
    answer = default_answer if answer is None else answer
    if answer is None:
        raise SettingsError(f"{option} is missing: with --yes nothing is asked, so give it")
    try:
        return check(answer.strip())
    except SettingsError as error:
        raise SettingsError(f"{option}: {error}", code=error.code) from None


def prompt(text: str, default: str | None, check: Callable[[str], _T], option: str) -> _T:
    """Ask until `check` accepts the answer, and return the checked value.

    Raises Refused with the option that answers the question if there is nobody to answer.
    """

    def check_answer(answer: str) -> _T:
        try:
            return check(answer.strip())
        except SettingsError as error:
            raise click.UsageError(str(error)) from None

    with answered_by(option):
        answer: _T = click.prompt(
            text, default, value_proc=check_answer, show_default=bool(default)
        )
    return answer


def agree(question: str, option: str, *, default: bool) -> bool:
    """Ask a question that is answered by yes or no.

    Raises Refused with the option that answers the question if there is nobody to answer.
    """
    with answered_by(option):
        return click.confirm(question, default=default)


def choose_one(value: str, most: int) -> int:
    """Return the number that an answer is. Raises SettingsError unless it is from 1 to `most`."""
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= most:
        raise SettingsError(
            f"{value!r} is not a choice; write a number from 1 to {most}", code="settings.choice"
        )
    return int(value)


def show_difference(path: str, before: str, after: str) -> None:
    """Print which lines of a file differ, as `find_differences` returns them."""
    for line in find_differences(path, before, after):
        echo(f"  {line}")


def find_differences(path: str, before: str, after: str, context: int = 0) -> list[str]:
    """Return which lines of a file differ; a setting that may hold a secret is named only.

    Args:
        context: the number of lines around them.
    """
    old, new = (_mask_long_values(text).splitlines() for text in (before, after))
    lines = unified_diff(old, new, path, path, "now", "then", lineterm="", n=context)
    return [_HIDDEN.sub(r"\1 …", line) for line in lines]


def _mask_long_values(text: str) -> str:
    """Return settings without the values of several lines that may be secret."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return text
    lines = text.splitlines()
    for name, (statement, _) in list_assignments(tree).items():
        first, last = statement.lineno, statement.end_lineno or statement.lineno
        if last > first and _HIDDEN.search(f" {name} = "):
            lines[first:last] = ["    …"] * (last - first)
    return "\n".join(lines)


def write_files(files: Mapping[Path, str]) -> None:
    """Write all files; if one of them can't be written, write none. Raises FileError."""
    new_files: dict[Path, Path] = {}
    try:
        for file, text in files.items():
            with atomic.explain_failure(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                mode = stat.S_IMODE(file.stat().st_mode) if file.is_file() else None
                new_files[file] = atomic.prepare(file, text, mode=mode)
        for file, new in new_files.items():
            with atomic.explain_failure(file):
                new.replace(file)
    finally:
        for new in new_files.values():
            new.unlink(missing_ok=True)


def read_file(file: Path) -> str:
    """Return the text of a file with its line ends as they are; empty if there is none."""
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise FileError(f"{file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FileError(f"{file} is not in UTF-8; save it as UTF-8", code="file.encoding") from None
