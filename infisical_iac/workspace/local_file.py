"""Read and write `.infisical.json`: the address, project and folder of a service; no secret."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infisical_iac.core import atomic
from infisical_iac.core.errors import FileError

NAME = ".infisical.json"
_MOST_BYTES = 1024**2


class LocalFile(NamedTuple):
    """The fields that services and Infisical's own command line read; "" is unknown."""

    project_id: str = ""
    domain: str = ""
    folder: str = ""


_KEYS = LocalFile("workspaceId", "domain", "defaultSecretPath")


def parse(text: str) -> LocalFile:
    """Return the fields of a file's text. Raises FileError if no loader could read it."""
    data = _data(text)
    if not isinstance(data.get("strict", False), bool):
        raise FileError("has a strict that is neither true nor false: write it without quotes")
    allow = data.get("allow", [])
    if not isinstance(allow, list) or not all(isinstance(name, str) for name in allow):
        raise FileError('has an allow that is not a list of names: write it as ["NAME"]')
    return LocalFile(*(_string(data, key) for key in _KEYS))


def complete(text: str, known: LocalFile) -> str:
    """Return the text with the known fields set; unknown fields and other keys stay.

    Args:
        text: of the existing file; "" for none.

    Raises FileError if the text can't be read.
    """
    data = _data(text) if text else {}
    named = {key: value for key, value in zip(_KEYS, known, strict=True) if value}
    return json.dumps({**data, **named}, indent=2, ensure_ascii=False) + "\n"


def text(directory: Path, known: LocalFile) -> str:
    """Return the desired text of the file in a service's directory, with the known fields.

    Raises FileError if the existing file can't be read.
    """
    file = directory / NAME
    try:
        return complete(_read(file), known)
    except FileError as error:
        raise FileError(f"{file} {error}") from None
    except (OSError, UnicodeDecodeError):
        raise FileError(
            f"{file} can't be read: it must be a small file in UTF-8, and no link"
        ) from None


def _read(file: Path) -> str:
    """Return a file's text, "" for none. A repository of others may have a link in its place."""
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    with os.fdopen(opened, "rb") as stream:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise OSError
        return stream.read().decode()


def text_before_deploy(home: Path, folder: str, site_url: str, tunnel: str) -> str:
    """Return the text of a service's `.infisical.json` in its directory.

    The project's id is not known before a deploy. Without a domain, the file keeps an address that
    it has, and else gets that of an SSH tunnel.
    """
    known = LocalFile("", site_url, folder)
    has_address = parse(text(home, known)).domain
    return text(home, known if has_address else known._replace(domain=tunnel))


def write(directory: Path, known: LocalFile) -> bool:
    """Write the known fields into the file of a service's directory; return whether it changed.

    Raises FileError if the existing file can't be read or the new one can't be written.
    """
    file, after = directory / NAME, text(directory, known)
    if file.exists() and file.read_text("utf-8") == after:
        return False
    with atomic.explain_failure(file):
        atomic.write(file, after)
    return True


def _data(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise FileError("is not JSON: write it again, it holds no secret") from None
    if not isinstance(data, dict):
        raise FileError("holds no JSON object: write it again, it holds no secret")
    return data


def _string(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str):
        raise FileError(f"has a {key} that is not a string: write it in quotes")
    return value
