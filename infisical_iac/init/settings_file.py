"""Set values in the text of a settings file, and keep everything else as a person wrote it."""

import ast
import re
from collections.abc import Mapping

from infisical_iac.core.errors import FileError
from infisical_iac.core.own_repository import list_assignments


def read_values(text: str) -> dict[str, object]:
    """Return the settings that a file gives as literals, without running it.

    Raises FileError if it is not Python.
    """
    values = {}
    for name, value in _assignments(text).items():
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, TypeError):
            continue
    return values


def set_values(text: str, values: Mapping[str, object]) -> str:
    """Return the text with settings set; None makes a setting a comment.

    A setting that the file has keeps its place. A new one replaces its example in a comment, or is
    added at the end.

    Raises FileError if the file is not Python, or computes one of the settings.
    """
    for name, value in values.items():
        text = _set(text, name, value)
    return text


def literal(value: object, *, lines: bool = False) -> str:
    """Return a value as Python in double quotes; a list of dictionaries has a line for each.

    Args:
        lines: whether a dictionary has a line for each of its keys.
    """
    if isinstance(value, tuple) and value and all(isinstance(each, dict) for each in value):
        return "".join(("(\n", *(f"    {literal(each)},\n" for each in value), ")"))
    if isinstance(value, dict):
        pairs = [f"{literal(key)}: {literal(each)}" for key, each in value.items()]
        if lines:
            return "".join(("{\n", *(f"    {each},\n" for each in pairs), "}"))
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, str) and '"' not in value and "\\" not in value and value.isprintable():
        return f'"{value}"'
    return repr(value)


def _set(text: str, name: str, value: object) -> str:
    found = _assignments(text).get(name)
    if found is None:
        if value is None:
            return text
        line = f"{name} = {literal(value)}"
        example = re.search(rf"(?m)^# ?{name} = .*$", text)
        if example:
            return f"{text[: example.start()]}{line}{text[example.end() :]}"
        return f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{line}\n"
    try:
        ast.literal_eval(found)
    except (ValueError, TypeError):
        raise FileError(
            f"{name} is computed in the settings, line {found.lineno}: change it there by hand",
            code="file.settings",
        ) from None
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    first, last = found.lineno - 1, (found.end_lineno or found.lineno) - 1
    if value is None:
        lines[first : last + 1] = [f"# {line}" for line in lines[first : last + 1]]
        return "".join(lines)
    # The columns of the tree count bytes.
    before = lines[first].encode()[: found.col_offset].decode()
    after = lines[last].encode()[found.end_col_offset :].decode()
    lines[first : last + 1] = [f"{before}{literal(value)}{after}"]
    return "".join(lines)


def _assignments(text: str) -> dict[str, ast.expr]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise FileError(
            f"the settings are not Python{where}: correct them by hand", code="file.settings"
        ) from None
    return {name: value for name, (_, value) in list_assignments(tree).items()}
