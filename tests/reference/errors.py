"""The reference of error codes, from the package's source."""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

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
# The message of a code whose every word is known only when it runs.
_VARIES = "*the reason in the particular case*"
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
        shown = [(_VARIES, remedy) if _is_open(text) else (text, remedy) for text, remedy in shown]
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
    trees = [ast.parse(path.read_text()) for path in sorted(_PACKAGE.rglob("*.py"))]
    package = _Package.of(trees)
    found: dict[str, set[tuple[str, str]]] = {}
    for tree in trees:
        constants = package.constants | dict(_constants(tree))
        sentences = package.sentences | _sentences(tree)
        for scope, node in _nodes(tree):
            if isinstance(node, ast.Constant) and is_code.fullmatch(str(node.value)):
                found.setdefault(str(node.value), set())
            known = _Known(constants, sentences, scope)
            for code, template in _errors(node, known):
                if is_code.fullmatch(code):
                    found.setdefault(code, set()).add(template)
    return found


@dataclass(frozen=True)
class _Package:
    """The constants of all modules, and the sentences that functions return, by unique names."""

    constants: dict[str, str]
    sentences: dict[str, list[str]]

    @classmethod
    def of(cls, trees: Iterable[ast.Module]) -> Self:
        constants: dict[str, set[str]] = {}
        sentences: dict[str, list[list[str]]] = {}
        for tree in trees:
            for name, text in _constants(tree):
                constants.setdefault(name, set()).add(text)
            for name, texts in _sentences(tree).items():
                sentences.setdefault(name, []).append(texts)
        return cls(
            {name: min(texts) for name, texts in constants.items() if len(texts) == 1},
            {name: found[0] for name, found in sentences.items() if len(found) == 1},
        )


def _sentences(tree: ast.Module) -> dict[str, list[str]]:
    """Return the texts that functions of a module return, by the functions' names."""
    constants, found = dict(_constants(tree)), dict[str, list[str]]()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            known = _Known(constants, {}, node)
            returned = (each.value for each in ast.walk(node) if isinstance(each, ast.Return))
            texts = [text for each in returned for text in _templates(each, known)]
            found.setdefault(node.name, []).extend(filter(_drop_unknown, texts))
    return found


class _Known(NamedTuple):
    """The texts that an expression may name: constants, functions, and a function's own names."""

    constants: Mapping[str, str]
    sentences: Mapping[str, Sequence[str]]
    scope: ast.AST | None

    def assigned(self, name: str) -> Iterator[ast.expr]:
        """Yield the values that the function gives to a name."""
        for node in ast.walk(self.scope) if self.scope else ():
            match node:
                case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                    yield value
                case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
                    yield value


def _nodes(tree: ast.Module) -> Iterator[tuple[ast.AST | None, ast.AST]]:
    """Yield all nodes, each with the function that it is in."""
    left: list[tuple[ast.AST | None, ast.AST]] = [(None, tree)]
    while left:
        scope, node = left.pop()
        yield scope, node
        inner = node if isinstance(node, ast.FunctionDef) else scope
        left += ((inner, each) for each in ast.iter_child_nodes(node))


def _errors(node: ast.AST, known: _Known) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the codes of errors that a node makes, each with message and remedy."""
    match node:
        case ast.Call(args=[sentence, *_], keywords=[*keywords]) if any(
            each.arg == "code" for each in keywords
        ):
            for each in keywords:
                if each.arg == "code":
                    for text in _templates(sentence, known):
                        yield _template(each.value, known.constants), UserError(text).split()
        case ast.Call(func=ast.Name(id="make_failure"), args=[code, sentence, *rest]):
            # A code of the agent, which may be a constant's.
            literal = ast.Constant(_template(code, known.constants))
            call = ast.Call(ast.Name("failure"), [literal, sentence, *rest], [])
            yield from _errors(call, known)
        case ast.Call(args=[ast.Constant(value=str(code)), sentence, *rest]):
            # The code, the message, and a remedy of its own.
            for text in _templates(sentence, known):
                message, remedy = UserError(text).split()
                own = _template(rest[0], known.constants) if rest else ""
                yield code, (message, remedy or _drop_unknown(own))
        case ast.Tuple(elts=[ast.Constant(value=str(code)), sentence]):
            for text in _templates(sentence, known):
                yield code, UserError(text).split()
        case ast.Call(args=[*_, sentence, ast.Constant(value=str(code))]):
            for text in _templates(sentence, known):
                message, remedy = UserError(text).split()
                # A text without a remedy may be one itself, for several problems.
                is_whole = remedy or _is_open(message)
                yield code, (message, remedy) if is_whole else (_UNKNOWN[0], message)
        case ast.Tuple(elts=[mark, ast.Constant(value=str(code)), remedy]):
            # A part of a server's answer, with the code and the remedy for it.
            constants = known.constants
            yield code, (f"… {_template(mark, {})} …", _template(remedy, constants))
        case ast.If(body=body, orelse=orelse):
            for block in (body, orelse):
                yield from _errors_of_block(block, known)


def _errors_of_block(block: Sequence[ast.stmt], known: _Known) -> Iterator[Any]:
    """Yield the code and the reason that a block gives to two names, for an error after it."""
    values = [each.value for each in block if isinstance(each, ast.Assign)]
    codes = [each.value for each in values if isinstance(each, ast.Constant)]
    for text in (text for each in values for text in _templates(each, known) if " " in text):
        yield from ((str(code), UserError(text).split()) for code in codes)


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            text = _template(node.value, {})
            if text != "…":
                yield node.targets[0].id, text


def _templates(node: ast.expr | None, known: _Known) -> list[str]:
    """Return the texts of an expression, of a name by its assignments, of a call by its returns."""
    match node:
        case None:
            return []
        case ast.Name(id=name) if name not in known.constants:
            texts = [_template(each, known.constants) for each in known.assigned(name)]
            calls = [each for each in known.assigned(name) if isinstance(each, ast.Call)]
            texts += [text for each in calls for text in _templates(each, known)]
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            texts = [*known.sentences.get(name, ())]
        case ast.JoinedStr(values=parts):
            # A sentence that begins with the text of a name, as in f"{sentence}: do this".
            texts = [_template(node, known.constants)]
            if isinstance(parts[0], ast.FormattedValue):
                rest = _template(ast.JoinedStr(parts[1:]), known.constants)
                firsts = _templates(parts[0].value, known)
                texts = [first + rest for first in firsts if first != "…"] or texts
            return texts
        case _:
            return [_template(node, known.constants)]
    return [*filter(_drop_unknown, dict.fromkeys(texts))] or ["…"]


def _drop_unknown(text: str) -> str:
    """Return a text that has words of its own; else an empty one."""
    return text if re.search(r"[a-z]{2} .*[a-z]{2}", text) else ""


def _template(node: ast.expr, constants: Mapping[str, str]) -> str:
    """Return the text of an expression, with … for each part that is known only when it runs."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in constants:
            return constants[name]
        case ast.FormattedValue(value=value):
            return _template(value, constants)
        case ast.JoinedStr(values=parts):
            return re.sub("…+", "…", "".join(_template(each, constants) for each in parts))
    return "…"


def _is_open(message: str) -> bool:
    """Return whether a message has no word that is known."""
    return not re.search("[A-Za-z]", message)


def _cell(template: str) -> str:
    return template.replace("|", r"\|").replace("<", r"\<")
