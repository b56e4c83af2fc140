"""Find the keys that Python reads from the environment or the loader, in its syntax tree."""

import ast
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from infisical_iac.check.model import Read, Reads
from infisical_iac.migrate.loaders import last_word, python_nodes

PACKAGE = "infisical_config"


@dataclass
class PythonNames:
    """The names of a file for `os.environ`, `os.getenv`, the loader, its `config` and `load`."""

    environ: set[str] = field(default_factory=set)
    getenv: set[str] = field(default_factory=set)
    configs: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, nodes: Sequence[ast.AST], loading: Collection[str] = ()) -> "PythonNames":
        """Return the names of a file; the `config` of modules in `loading` is the loader's."""
        names = cls()
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                names._take(node, loading)
            elif isinstance(node, ast.Import):
                names.modules |= {a.asname or a.name for a in node.names if a.name == PACKAGE}
        for node in nodes:
            match node:
                case ast.Assign(targets, ast.Call(func)) if names.is_load(func):
                    names.configs |= {to.id for to in targets if isinstance(to, ast.Name)}
        return names

    @property
    def uses_loader(self) -> bool:
        """Return whether the file imports the loader."""
        return bool(self.configs or self.loads or self.modules)

    def holds(self, node: ast.expr) -> bool:
        """Return whether an expression is the environment, or the loader's secrets."""
        is_environ = _is(node, "os", "environ") or _is_name(node, self.environ)
        return is_environ or self.is_config(node)

    def is_config(self, node: ast.expr) -> bool:
        """Return whether an expression is the loader's secrets."""
        return _is_name(node, self.configs) or any(_is(node, m, "config") for m in self.modules)

    def is_getenv(self, node: ast.expr) -> bool:
        """Return whether an expression is the function `os.getenv`."""
        return _is(node, "os", "getenv") or _is_name(node, self.getenv)

    def is_load(self, node: ast.expr) -> bool:
        """Return whether an expression is the loader's function `load`."""
        full = any(_is(node, module, "load") for module in self.modules)
        return full or _is_name(node, self.loads)

    def _take(self, node: ast.ImportFrom, loading: Collection[str]) -> None:
        module = node.module or ""
        for each in node.names:
            name = each.asname or each.name
            if module == "os" and each.name in ("environ", "getenv"):
                (self.environ if each.name == "environ" else self.getenv).add(name)
            elif module == PACKAGE and each.name in ("config", "load"):
                (self.configs if each.name == "config" else self.loads).add(name)
            elif each.name == "config" and module.rpartition(".")[2] in loading:
                self.configs.add(name)


def _is_name(node: ast.expr, names: Collection[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _is(node: ast.expr, module: str, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name and _is_name(node.value, (module,))


_ALIASES = ("validation_alias", "alias", "env")


def fields(nodes: Sequence[ast.AST], names: PythonNames) -> Iterator[Read]:
    """Yield the reads of the settings in a file: of `BaseSettings`, and of `load(schema=…)`."""
    schemas = {
        schema.value.id
        for node in nodes
        if isinstance(node, ast.Call) and names.is_load(node.func)
        for schema in node.keywords
        if schema.arg == "schema" and isinstance(schema.value, ast.Name)
    }
    prefixes: dict[str, str] = {}  # by the name of each class of settings
    for node in nodes:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [each for each in map(last_word, node.bases) if each]
        inherited = next((prefixes[each] for each in bases if each in prefixes), "")
        if any(each in prefixes or each.endswith("BaseSettings") for each in bases):
            prefixes[node.name] = prefix = _prefix(node) or inherited
            yield from _of_class(node, prefix)
        elif node.name in schemas:
            yield from _of_class(node)


def _of_class(node: ast.ClassDef, prefix: str | None = None) -> Iterator[Read]:
    for each in node.body:
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        name = each.target.id
        if name.startswith("_") or name == "model_config":
            continue
        if "ClassVar" in ast.dump(each.annotation):
            continue
        key = name if prefix is None else f"{prefix}{name}".upper()
        keywords = each.value.keywords if isinstance(each.value, ast.Call) else []
        given = {keyword.arg: _string(keyword.value) for keyword in keywords}
        alias = next((given[name] for name in _ALIASES if given.get(name)), "")
        yield Read(alias or key, each.lineno, not _is_needed(each.value))


def _prefix(node: ast.ClassDef) -> str:
    for each in ast.walk(node):
        match each:
            case ast.keyword("env_prefix", value):
                return _string(value)
            case ast.Assign([to, *_], value) if last_word(to) == "env_prefix":
                return _string(value)
    return ""


def _is_needed(value: ast.expr | None) -> bool:
    """Return whether a field has no default: `x: str`, `x: str = ...`, `x: str = Field(...)`."""
    if value is None or (isinstance(value, ast.Constant) and value.value is ...):
        return True
    if not isinstance(value, ast.Call) or last_word(value.func) != "Field":
        return False
    if value.args:
        return _is_needed(value.args[0])
    return not {each.arg for each in value.keywords} & {"default", "default_factory"}


def _string(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


ENDINGS = (".py",)
# A file without one of these words reads nothing by itself and need not be parsed.
_SPEAKS = re.compile(r"environ|getenv|infisical_config|BaseSettings")
_KEY = re.compile(r"[A-Z][A-Z0-9_]*")
_LOOKUPS = {"get", "pop", "setdefault"}
# Comparisons that work with None; others fail with it.
_EQUALITIES = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)
_TESTS = (*_EQUALITIES, ast.In, ast.NotIn)
_ASSERTS = re.compile(r"assert|expect|fail|raise|require|ensure|must|check|equal", re.IGNORECASE)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def read(texts: Mapping[str, str]) -> dict[str, Reads]:
    """Return the reads of each file of a service, by its path.

    A function such as `needed(name)` that looks `name` up in the environment reads the keys that it
    is called with, in every file. The result for a file that can't be parsed has only the error.
    """
    reads = dict.fromkeys(texts, Reads())
    files = _files({path: text for path, text in texts.items() if _SPEAKS.search(text)}, reads)
    loading = {_module(path) for path, file in files.items() if file.uses_loader}
    helpers = {each for file in files.values() for each in file.helpers}
    if loading or helpers:  # other files may use them
        words = re.compile(rf"\b(?:{'|'.join(['config', *map(re.escape, helpers)])})\b")
        more = {path: text for path, text in texts.items() if words.search(text)}
        files |= _files(more, reads, loading)
    return reads | {path: file.reads(helpers) for path, file in files.items()}


def words(texts: Mapping[str, str]) -> set[str]:
    """Return the strings that may be names of keys; code may assemble names from them."""
    found: set[str] = set()
    for text in texts.values():
        try:
            found.update(
                each.value
                for each in python_nodes(text)
                if isinstance(each, ast.Constant)
                if isinstance(each.value, str) and _KEY.fullmatch(each.value)
            )
        except SyntaxError:
            found.update(re.findall(rf"\b{_KEY.pattern}\b", text))
    return found


def imports_loader(text: str) -> bool:
    """Return whether a file imports the loader."""
    if PACKAGE not in text:
        return False
    try:
        nodes = python_nodes(text)
    except SyntaxError:
        return False
    modules: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module or "")
        elif isinstance(node, ast.Import):
            modules.update(each.name for each in node.names)
    return any(each.partition(".")[0] == PACKAGE for each in modules)


def _module(path: str) -> str:
    directory, name = posixpath.split(path.removesuffix(".py"))
    return posixpath.basename(directory) if name == "__init__" else name


def _files(
    texts: Mapping[str, str], reads: dict[str, Reads], loading: Collection[str] = ()
) -> dict[str, "_PythonFile"]:
    """Return the files that can be parsed; the errors of the others go into `reads`."""
    files = {}
    for path, text in texts.items():
        try:
            files[path] = _PythonFile(python_nodes(text), loading)
        except SyntaxError:
            reads[path] = Reads(error="It can't be read as Python.")
    return files


class _PythonFile:
    """One file, with the parent of each of its nodes."""

    def __init__(self, nodes: Sequence[ast.AST], loading: Collection[str]) -> None:
        self._nodes, self._names = nodes, PythonNames.of(nodes, loading)
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
        found = [*self._found]
        for node in self._nodes:
            match node:
                case ast.Call(func, [ast.Constant(str(key)), *more]) if last_word(func) in helpers:
                    found.append(Read(key, node.lineno, bool(more or node.keywords)))
        found += fields(self._nodes, self._names)
        return Reads(sorted(found, key=lambda each: each.line), sorted({*self._dynamic}))

    def _keys(self, node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
        """Yield the keys that a node reads, and whether they are optional."""
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
        looks_up = (
            isinstance(called, ast.Attribute)
            and called.attr in _LOOKUPS
            and names.holds(called.value)
        )
        if looks_up or names.is_getenv(called):
            has_second = len(node.args) > 1 or bool(node.keywords)
            can_miss = has_second or self._has_default(node) or self._is_tested(node)
            yield from ((key, can_miss) for key in node.args[:1])
        elif names.is_load(called):
            for each in node.keywords:
                match each:
                    case ast.keyword("required", ast.List(keys) | ast.Tuple(keys)):
                        yield from ((key, False) for key in keys)

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
        """Return whether `or` follows, or the program only tests whether the value exists."""
        around = self._parents.get(node)
        if isinstance(around, ast.BoolOp):
            return around.values[-1] is not node
        return isinstance(around, ast.IfExp | ast.While) and around.test is node

    def _is_tested(self, node: ast.AST) -> bool:
        """Return whether a value, None if it is missing, is only tested or compared.

        A test that stops the program if the value is missing needs the value.
        """
        is_made = holds_if_missing = is_of_value = False
        around = self._parents.get(node)
        while around is not None:
            demands = holds_if_missing and not is_of_value
            match around:
                case ast.Compare(left, [operator], [right]):
                    if not isinstance(operator, _EQUALITIES if node is right else _TESTS):
                        return is_made
                    other = left if node is right else right
                    is_nothing = isinstance(other, ast.Constant) and other.value in (None, "")
                    is_negative = isinstance(operator, ast.NotEq | ast.IsNot | ast.NotIn)
                    is_made, is_of_value = True, not is_nothing
                    holds_if_missing = is_negative != is_nothing
                case ast.UnaryOp(ast.Not()):
                    is_made, holds_if_missing = True, not holds_if_missing
                case ast.BoolOp() | ast.NamedExpr() | ast.keyword():
                    pass
                case ast.Call(func):
                    if is_made:
                        return not _ASSERTS.search(last_word(func))
                    is_made = isinstance(func, ast.Name) and func.id == "bool"
                    if not is_made:
                        return False
                case ast.If(test, body, orelse) if test is node:
                    return not (demands or _stop(body if holds_if_missing else orelse))
                case ast.IfExp(test) | ast.While(test) if test is node:
                    return not demands
                case ast.Assert():
                    return False
                case _:
                    return is_made
            node, around = around, self._parents.get(around)
        return False

    def _helper(self, key: ast.expr) -> str:
        """Return the enclosing function that has the key as a parameter, or ""."""
        node: ast.AST | None = key
        while node is not None and isinstance(key, ast.Name):
            if isinstance(node, _FUNCTIONS) and key.id in (each.arg for each in node.args.args):
                return node.name
            node = self._parents.get(node)
        return ""


def _stop(branch: Sequence[ast.stmt]) -> bool:
    """Return whether a branch raises, or ends the process."""
    waiting: list[ast.AST] = [*branch]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call) and last_word(node.func) in ("exit", "_exit", "abort"):
            return True
        if not isinstance(node, _FUNCTIONS):
            waiting += ast.iter_child_nodes(node)
    return False
