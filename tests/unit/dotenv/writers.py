"""Write assignments in the form of each grammar, for tests that read them back."""

import re
from collections.abc import Callable
from dataclasses import dataclass

# In a shell, a carriage return at the end of a line is part of the value.
LINE_ENDS = {"shell": ["\n"]}
EITHER_LINE_END = ["\n", "\r\n"]


PARTS = [
    *"AB=:#'\"`\\${}-+?! \n\t\r;~[]<(&|x1é\xa0\u2028\x85\0",
    "A= \n",
    "export ", "A=", "\nB=", "\nC='", '\nC="', "\nC=`", "\\n", "\\'", '\\"', "\\0101", "\r\n",
    "$A", "${A}", "${B:-x}", "${B:-${A}}", "${B:?e}", "${B-", "$$", "$'", "$(", "__proto__=", "1=",
]  # fmt: skip
"""Signs, and pieces of text, with a meaning in some grammar, for random files."""


@dataclass(frozen=True)
class Style:
    """The form of an assignment, if its grammar can write the value in this form.

    Attributes:
        above: the lines before the assignment, which contain no assignment themselves.
    """

    is_quoted: bool
    is_exported: bool
    has_comment: bool
    above: list[str]


def write(grammar: str, key: str, value: str, style: Style) -> tuple[str, str] | None:
    """Return the assignment, and its whole line; None if no quotes can hold the value."""
    plain = None if style.is_quoted else PLAIN_WRITERS[grammar](value)
    written = WRITERS[grammar](value) if plain is None else plain
    if written is None:
        return None
    export = "export " if style.is_exported else ""
    # After an empty value, Compose reads a comment as the value.
    comment = " # a comment, isn't it" if style.has_comment and written else ""
    return f"{key}={written}", f"{export}{key}={written}{comment}"


def _quote(value: str, quotes: str) -> str | None:
    for quote in quotes:
        expands = quote == '"' and ("\\n" in value or "\\r" in value)
        if quote not in value and not expands:
            return quote + value + quote
    return None


def _npm(value: str) -> str | None:
    # A backslash before the closing quote can't be escaped, and line ends are normalized.
    return None if "\r" in value or value.endswith("\\") else _quote(value, "'\"`")


def _expand(value: str) -> str | None:
    return _npm(value.replace("$", "\\$"))


def _node(value: str) -> str | None:
    return None if "\r" in value else _quote(value, "'\"`")


def _python_raw(value: str) -> str | None:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return None if "\r" in value else f"'{escaped}'"


def _python(value: str) -> str | None:
    return None if "${" in value else _python_raw(value)


def _compose(value: str) -> str | None:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def _shell(value: str) -> str | None:
    return None if "\0" in value else "'" + value.replace("'", "'\\''") + "'"


def _plain(value: str, *, not_in_it: str, quotes: str) -> str | None:
    """Return a value that needs no quotes, else None.

    Such a value has no leading quote, no blanks to trim, and no match of `not_in_it`.
    """
    padded = value.strip() != value or value.strip("\ufeff") != value
    kept = not padded and not value.startswith(tuple(quotes))
    return value if kept and not re.search(not_in_it, value) else None


def _plain_npm(value: str) -> str | None:
    return _plain(value, not_in_it=r"[\r\n#]", quotes="'\"`")


def _plain_node_22(value: str) -> str | None:
    # `export A=` is a name with the word in it.
    return _plain_npm(value) or None


def _plain_expanded(value: str) -> str | None:
    return _plain_npm(value.replace("$", "\\$"))


def _plain_python_raw(value: str) -> str | None:
    return _plain(value, not_in_it=r"[\r\n]|\s#", quotes="'\"")


def _plain_python(value: str) -> str | None:
    return None if "${" in value else _plain_python_raw(value)


def _plain_compose(value: str) -> str | None:
    return _plain(value.replace("$", "$$"), not_in_it=r"\n| #", quotes="'\"")


def _plain_shell(value: str) -> str | None:
    # A backslash at the end of a line removes itself and the newline.
    return None if re.search(r"[\n\0]", value) else re.sub(r"([^\w./:@%+,-])", r"\\\1", value)


WRITERS: dict[str, Callable[[str], str | None]] = {
    "dotenv": _npm,
    "dotenv-expand": _expand,
    "next": _expand,
    "node-env-file": _node,
    "node-env-file-22": _node,
    "python-dotenv": _python,
    "python-dotenv-raw": _python_raw,
    "compose": _compose,
    "shell": _shell,
}
PLAIN_WRITERS: dict[str, Callable[[str], str | None]] = {
    "dotenv": _plain_npm,
    "dotenv-expand": _plain_expanded,
    "next": _plain_expanded,
    "node-env-file": _plain_npm,
    "node-env-file-22": _plain_node_22,
    "python-dotenv": _plain_python,
    "python-dotenv-raw": _plain_python_raw,
    "compose": _plain_compose,
    "shell": _plain_shell,
}
