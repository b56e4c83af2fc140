"""Find what Python reads from its environment, or from the loader."""

import ast
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from warnings import catch_warnings

from infisical_iac.check.python_names import PACKAGE, Names, last
from infisical_iac.check.python_settings import fields
from infisical_iac.check.reads import Read, Reads

ENDINGS = (".py",)
# Without one of these words a file reads nothing by itself, and need not be parsed.
_SPEAKS = re.compile(r"environ|getenv|infisical_config|BaseSettings")
_KEY = re.compile(r"[A-Z][A-Z0-9_]*")
_LOOKS = {"get", "pop", "setdefault"}
_NO_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def read(texts: Mapping[str, str]) -> dict[str, Reads]:
    """Return what each file of a service reads, by its path.

    A function such as `needed(name)` that looks `name` up in the environment reads what it is
    called with, in every file. A file that is no Python of today says nothing but that.
    """
    reads = dict.fromkeys(texts, Reads())
    files = _files({path: text for path, text in texts.items() if _SPEAKS.search(text)}, reads)
    loading = {_module(path) for path, file in files.items() if file.uses_loader}
    helpers = {each for file in files.values() for each in file.helpers}
    if loading or helpers:  # then other files may use what these have
        words = re.compile(rf"\b(?:{'|'.join(['config', *map(re.escape, helpers)])})\b")
        more = {path: text for path, text in texts.items() if words.search(text)}
        files |= _files(more, reads, loading)
    return reads | {path: file.reads(helpers) for path, file in files.items()}


def words(texts: Mapping[str, str]) -> set[str]:
    """Return the words in quotes that may be the names of keys, which code puts together."""
    found: set[str] = set()
    for text in texts.values():
        try:
            nodes = ast.walk(_tree(text))
            found.update(
                each.value
                for each in nodes
                if isinstance(each, ast.Constant)
                if isinstance(each.value, str) and _KEY.fullmatch(each.value)
            )
        except _NO_PYTHON:
            found.update(re.findall(rf"\b{_KEY.pattern}\b", text))
    return found


def imports_loader(text: str) -> bool:
    """Return whether a file takes something from the loader."""
    if PACKAGE not in text:
        return False
    try:
        nodes = [*ast.walk(_tree(text))]
    except _NO_PYTHON:
        return False
    return any(_imports(node) for node in nodes)


def _imports(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        modules = [node.module or ""] if not node.level else []
    else:
        modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
    return any(each.partition(".")[0] == PACKAGE for each in modules)


def _tree(text: str) -> ast.Module:
    with catch_warnings(action="ignore"):
        return ast.parse(text)


def _files(
    texts: Mapping[str, str], reads: dict[str, Reads], loading: Collection[str] = ()
) -> dict[str, "_File"]:
    """The files that can be read as code; what is said of the others goes into `reads`."""
    files = {}
    for path, text in texts.items():
        try:
            files[path] = _File(list(ast.walk(_tree(text))), loading)
        except _NO_PYTHON:
            reads[path] = Reads(error="It can't be read as Python.")
    return files


def _module(path: str) -> str:
    directory, name = posixpath.split(path.removesuffix(".py"))
    return posixpath.basename(directory) if name == "__init__" else name


class _File:
    """One file, with what stands around each part of it."""

    def __init__(self, nodes: Sequence[ast.AST], loading: Collection[str]) -> None:
        self._nodes, self._names = nodes, Names.of(nodes, loading)
        self._parents = {child: node for node in nodes for child in ast.iter_child_nodes(node)}
        self.helpers: set[str] = set()
        self._found: list[Read] = []
        self._dynamic: list[int] = []
        for node in nodes:
            for key, is_optional in self._keys(node):
                self._note(key, node, is_optional)

    @property
    def uses_loader(self) -> bool:
        return self._names.uses_loader

    def reads(self, helpers: set[str]) -> Reads:
        called = [read for node in self._nodes for read in _asked(node, helpers)]
        declared = fields(self._nodes, self._names)
        found = [*self._found, *called, *declared]
        return Reads(sorted(found, key=lambda each: each.line), sorted({*self._dynamic}))

    def _keys(self, node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
        """The keys that a part of the code reads, and whether it could do without them."""
        names = self._names
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            if names.holds(node.value):
                yield node.slice, self._has_default(node)
        elif isinstance(node, ast.Compare):
            if isinstance(node.ops[0], ast.In | ast.NotIn) and names.holds(node.comparators[0]):
                yield node.left, True
        elif isinstance(node, ast.Attribute) and names.is_config(node.value):
            if isinstance(node.ctx, ast.Load) and _KEY.fullmatch(node.attr):
                yield ast.copy_location(ast.Constant(node.attr), node), self._has_default(node)
        elif isinstance(node, ast.Call):
            yield from self._in_call(node)

    def _in_call(self, node: ast.Call) -> Iterator[tuple[ast.expr, bool]]:
        names, called = self._names, node.func
        looks = (
            isinstance(called, ast.Attribute)
            and called.attr in _LOOKS
            and names.holds(called.value)
        )
        if looks or names.is_getenv(called):
            has_second = len(node.args) > 1 or bool(node.keywords)
            yield from ((key, has_second or self._has_default(node)) for key in node.args[:1])
        elif names.is_load(called):
            given = (each.value for each in node.keywords if each.arg == "required")
            for required in given:
                elements = required.elts if isinstance(required, ast.List | ast.Tuple) else []
                yield from ((key, False) for key in elements)

    def _note(self, key: ast.expr, node: ast.AST, is_optional: bool) -> None:
        line = getattr(node, "lineno", 0)
        if isinstance(key, ast.Constant):
            if isinstance(key.value, str):
                self._found.append(Read(key.value, line, is_optional))
        elif helper := self._helper(key):
            self.helpers.add(helper)
        else:
            self._dynamic.append(line)

    def _has_default(self, node: ast.AST) -> bool:
        """Return whether `or` follows, or the value is only asked whether it is there."""
        around = self._parents.get(node)
        if isinstance(around, ast.BoolOp):
            return around.values[-1] is not node
        return isinstance(around, ast.IfExp | ast.If) and around.test is node

    def _helper(self, key: ast.expr) -> str:
        """The function around that has the key as a parameter, or ""."""
        node: ast.AST | None = key
        while node is not None and isinstance(key, ast.Name):
            if isinstance(node, _FUNCTIONS) and key.id in (each.arg for each in node.args.args):
                return node.name
            node = self._parents.get(node)
        return ""


def _asked(node: ast.AST, helpers: set[str]) -> Iterator[Read]:
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        key = node.args[0].value
        if last(node.func) in helpers and isinstance(key, str):
            yield Read(key, node.lineno, len(node.args) > 1 or bool(node.keywords))
