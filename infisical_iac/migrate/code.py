"""Loaders that only the code of a service shows."""

import ast
import posixpath
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace
from warnings import catch_warnings

from infisical_iac.dotenv import all_grammars, grammar
from infisical_iac.migrate.evidence import Evidence, Text, upwards
from infisical_iac.syntax import javascript

_NODE_LOADERS = {call: each.name for each in all_grammars() for call in each.node_calls}
_PYTHON_LOADERS = frozenset(name for each in all_grammars() for name in each.python_calls)


@dataclass(frozen=True)
class CodeEvidence:
    """Hold what code says, by the directory of the package that it is in.

    Attributes:
        loaders: calls of what the language itself brings.
        interpolation: of python-dotenv, by file: whether all, some or no calls turn it off.
    """

    loaders: dict[str, list[Evidence]] = field(default_factory=dict)
    interpolation: dict[str, dict[str, Set[bool]]] = field(default_factory=dict)

    def corrected(self, place: str, evidences: Sequence[Evidence]) -> list[Evidence]:
        """Return the evidence of a package, corrected by what calls say of interpolation."""
        off = self.interpolation.get(place, {})
        calls = {call for each in off.values() for call in each}
        if True not in calls:
            return list(evidences)
        path = next(path for path, each in off.items() if True in each)
        raw = [
            replace(
                evidence,
                grammar=other,
                why=f"{evidence.why}, and {path} turns its interpolation off",
            )
            for evidence in evidences
            if (other := grammar(evidence.grammar).uninterpolated)
        ]
        kept = [
            evidence
            for evidence in evidences
            if False in calls or not grammar(evidence.grammar).uninterpolated
        ]
        return [*raw, *kept]


def evidence_in_code(paths: Iterable[str], places: Set[str], text: Text) -> CodeEvidence:
    """Return what the code below each of `places` says; code elsewhere belongs to the root."""
    found_in_code = CodeEvidence()
    for path in paths:
        place = next((each for each in upwards(posixpath.dirname(path)) if each in places), "")
        if path.endswith(javascript.ENDINGS) and (called := _node_loader(path, text(path))):
            evidence = Evidence(_NODE_LOADERS[called], f"{path} calls {'.'.join(called)}")
            found_in_code.loaders.setdefault(place, []).append(evidence)
        if path.endswith(".py") and (off := _interpolation_off(text(path))):
            found_in_code.interpolation.setdefault(place, {})[path] = off
    return found_in_code


def _node_loader(path: str, text: str) -> tuple[str, str] | None:
    """Return what a file calls of what Node itself brings to read `.env` files."""
    if not any(name in text for _, name in _NODE_LOADERS):
        return None
    names = javascript.Bindings()
    called = []
    for node, _ in javascript.parse(path, text).nodes():
        for _ in names.take(node):
            pass
        if node.type == "call_expression":
            called.append(javascript.path_of(node.child_by_field_name("function")))
    meant = (each for path in called for each in names.meanings(path))
    return next(((each[0], each[1]) for each in meant if each in _NODE_LOADERS), None)


def _interpolation_off(text: str) -> Set[bool]:
    """Return whether calls of python-dotenv turn its interpolation off, and whether some don't."""
    if not any(name in text for name in _PYTHON_LOADERS):
        return frozenset()
    try:
        with catch_warnings(action="ignore"):
            nodes = [*ast.walk(ast.parse(text))]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # Of what this Python can't read, nobody can tell.
        return frozenset({False, "interpolate" in text})
    names = {*_PYTHON_LOADERS}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {each.asname or "" for each in node.names if each.name in _PYTHON_LOADERS}
    calls = (each for each in nodes if isinstance(each, ast.Call))
    return {_is_off(call) for call in calls if _last(call.func) in names}


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_off(call: ast.Call) -> bool:
    given = (each.value for each in call.keywords if each.arg == "interpolate")
    return any(isinstance(each, ast.Constant) and each.value is False for each in given)
