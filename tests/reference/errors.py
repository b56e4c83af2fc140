"""The reference of error codes, from the package's source."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from infisical_iac.core import errors
from infisical_iac.core.errors import UserError

PATH = Path("docs/reference/errors.md")
_PACKAGE = Path("infisical_iac")
_INTRODUCTION = """\
# Error codes

<!-- `make docs` writes this file from the source: edit the errors there. -->

A command with `--json` that fails prints one line of JSON with the code, the message and the
remedy, see [status and drift](../operate/status-and-drift.md#failures-for-programs). Future
releases keep the codes; messages and remedies can change. A specific code begins with a general one
and a dot. In the messages `…` stands for names and values.
"""
# The message and remedy of an error that passes on the ones of another.
_UNKNOWN = ("…", "")
# Codes of the command line itself, which click or an answer to a question makes.
_COMMAND_LINE = {
    "aborted": "The answer to a question was no, or the command was interrupted.",
    "usage": "An option or an argument is wrong.",
}


def write() -> str:
    """Return the text of the page."""
    general = {each.code: _summary(each) for each in _classes()} | _COMMAND_LINE
    specific = _messages(general)
    lines = [_INTRODUCTION, "## General codes\n", "| code | meaning |", "|---|---|"]
    lines += [f"| `{code}` | {meaning} |" for code, meaning in sorted(general.items())]
    lines += ["\n## Specific codes\n", "| code | message | remedy |", "|---|---|---|"]
    for code, templates in sorted(specific.items()):
        shown = sorted(templates - {_UNKNOWN}) or [_UNKNOWN]
        lines += [f"| `{code}` | {' | '.join(map(_cell, each))} |" for each in shown]
    return "\n".join(lines) + "\n"


def _classes() -> list[type[UserError]]:
    found = [each for each in vars(errors).values() if inspect.isclass(each)]
    return [each for each in found if issubclass(each, UserError)]


def _summary(of: type[UserError]) -> str:
    return (inspect.getdoc(of) or "").partition("\n\n")[0].replace("\n", " ")


def _messages(general: dict[str, str]) -> dict[str, set[tuple[str, str]]]:
    """Return the templates of messages and remedies by specific codes; some codes have none."""
    is_code = re.compile(rf"(?:{'|'.join(general)})\.[a-z_]+")
    found: dict[str, set[tuple[str, str]]] = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants = dict(_constants(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and is_code.fullmatch(str(node.value)):
                found.setdefault(str(node.value), set())
            match node:
                case ast.Call(args=[sentence, *_], keywords=[*keywords]):
                    codes = [each.value for each in keywords if each.arg == "code"]
                    template = UserError(_template(sentence, constants)).split()
                case ast.Tuple(elts=[mark, ast.Constant() as code, remedy]):
                    # A part of a server's answer, with the code and the remedy for it.
                    codes = [code]
                    template = f"… {_template(mark, {})} …", _template(remedy, constants)
                case _:
                    continue
            for name in (_template(each, constants) for each in codes):
                if is_code.fullmatch(name):
                    found.setdefault(name, set()).add(template)
    return found


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = _template(node.value, {})
            if text != "…":
                yield node.targets[0].id, text


def _template(node: ast.expr, constants: dict[str, str]) -> str:
    """Return the text of an expression, with … for each part that is known only when it runs."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if name in constants:
            return constants[name]
        case ast.FormattedValue(value=value):
            return _template(value, constants)
        case ast.JoinedStr(values=parts):
            return re.sub("…+", "…", "".join(_template(each, constants) for each in parts))
    return "…"


def _cell(template: str) -> str:
    return template.replace("|", r"\|").replace("<", r"\<")
