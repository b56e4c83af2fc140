"""The keys that classes of pydantic name."""

import ast
from collections.abc import Iterator, Sequence

from infisical_iac.check.python_names import Names, last
from infisical_iac.check.reads import Read

_ALIASES = ("validation_alias", "alias", "env")


def fields(nodes: Sequence[ast.AST], names: Names) -> Iterator[Read]:
    """Yield what the settings of a file read: of `BaseSettings`, and of `load(schema=…)`."""
    schemas = set(_schemas(nodes, names))
    prefixes: dict[str, str] = {}  # by the name of each class of settings
    for node in nodes:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [each for each in map(last, node.bases) if each]
        inherited = next((prefixes[each] for each in bases if each in prefixes), "")
        if any(each in prefixes or each.endswith("BaseSettings") for each in bases):
            prefixes[node.name] = prefix = _prefix(node) or inherited
            yield from _of_class(node, prefix)
        elif node.name in schemas:
            yield from _of_class(node)


def _schemas(nodes: Sequence[ast.AST], names: Names) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Call) and names.is_load(node.func):
            given = (each.value for each in node.keywords if each.arg == "schema")
            yield from (each.id for each in given if isinstance(each, ast.Name))


def _of_class(node: ast.ClassDef, prefix: str | None = None) -> Iterator[Read]:
    for each in node.body:
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        name = each.target.id
        if (
            name.startswith("_")
            or name == "model_config"
            or "ClassVar" in ast.dump(each.annotation)
        ):
            continue
        key = name if prefix is None else f"{prefix}{name}".upper()
        yield Read(_alias(each.value) or key, each.lineno, not _is_needed(each.value))


def _prefix(node: ast.ClassDef) -> str:
    for each in ast.walk(node):
        if isinstance(each, ast.keyword) and each.arg == "env_prefix":
            return _string(each.value)
        if isinstance(each, ast.Assign) and last(each.targets[0]) == "env_prefix":
            return _string(each.value)
    return ""


def _alias(value: ast.expr | None) -> str:
    keywords = value.keywords if isinstance(value, ast.Call) else []
    given = {each.arg: _string(each.value) for each in keywords}
    return next((given[name] for name in _ALIASES if given.get(name)), "")


def _is_needed(value: ast.expr | None) -> bool:
    """Return whether a field has no default: `x: str`, `x: str = ...`, `x: str = Field(...)`."""
    if value is None or (isinstance(value, ast.Constant) and value.value is ...):
        return True
    if not isinstance(value, ast.Call) or last(value.func) != "Field":
        return False
    if value.args:
        return _is_needed(value.args[0])
    return not {each.arg for each in value.keywords} & {"default", "default_factory"}


def _string(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
