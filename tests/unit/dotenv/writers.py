"""Writes an assignment as each grammar needs it, for reading it back."""

from collections.abc import Callable


def _quoted(value: str, quotes: str) -> str | None:
    for quote in quotes:
        expands = quote == '"' and ("\\n" in value or "\\r" in value)
        if quote not in value and not expands:
            return quote + value + quote
    return None


def _npm(value: str) -> str | None:
    # Nothing escapes a backslash before the closing quote, and line ends become one.
    return None if "\r" in value or value.endswith("\\") else _quoted(value, "'\"`")


def _expanded(value: str) -> str | None:
    return _npm(value.replace("$", "\\$"))


def _node(value: str) -> str | None:
    return None if "\r" in value else _quoted(value, "'\"`")


def _python_raw(value: str) -> str | None:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return None if "\r" in value else f"'{escaped}'"


def _python(value: str) -> str | None:
    return None if "${" in value else _python_raw(value)


def _compose(value: str) -> str | None:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def _shell(value: str) -> str | None:
    return None if "\0" in value else "'" + value.replace("'", "'\\''") + "'"


WRITERS: dict[str, Callable[[str], str | None]] = {
    "dotenv": _npm,
    "dotenv-expand": _expanded,
    "next": _expanded,
    "node-env-file": _node,
    "python-dotenv": _python,
    "python-dotenv-raw": _python_raw,
    "compose": _compose,
    "shell": _shell,
}
