"""Find the keys that JavaScript and TypeScript read, in their syntax trees."""

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from infisical_iac.check.model import Read, Reads
from infisical_iac.syntax import javascript
from infisical_iac.syntax.javascript import (
    FUNCTIONS,
    WRAPPERS,
    Path,
    line_of,
    path_of,
    string_of,
    text_of,
    unwrap,
)

if TYPE_CHECKING:
    from tree_sitter import Node


ENDINGS = javascript.ENDINGS
PACKAGE = "infisical-config"

_NAME = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
_KEY = re.compile(r"[A-Z][A-Z0-9_]*")
_OPTIONAL = frozenset({"default", "optional", "nullish", "catch", "prefault"})
_VITE = frozenset({"MODE", "BASE_URL", "PROD", "DEV", "SSR"})
_CHAINS = ("identifier", "member_expression", "subscript_expression")
_ARITHMETIC = ("*", "-", "/", "%", "**")  # with undefined they give NaN, which `||` replaces
_COMPARISONS = ("===", "!==", "==", "!=", "<", ">", "<=", ">=")
# `typeof` compares with the string "undefined".
_NOTHING = ("undefined", "null", "void 0", '""', "''", '"undefined"', "'undefined'")
_ASSERTS = re.compile(
    r"assert|invariant|expect|throw|fail|require|ensure|must|check|equal|^ok$", re.IGNORECASE
)
_DEEPEST = 50  # the most enclosing expressions to search for the default of a read
_FARTHEST = 1000  # the most enclosing nodes to search for the function of a read


class _Access(NamedTuple):
    """A read of a member.

    Attributes:
        key: None if its name is only known when the code runs.
        helper: in that case the enclosing function with the name as its first parameter, or "".
    """

    source: Path
    key: str | None
    line: int
    is_optional: bool
    helper: str = ""


def read(texts: Mapping[str, str]) -> dict[str, Reads]:
    """Return the reads of each file of a service, by its path.

    A function such as `needed(name)` that looks `name` up in the environment reads the keys that it
    is called with.
    """
    files = {path: _JavaScriptFile(path, text) for path, text in texts.items()}
    loading = {path for path, file in files.items() if file.uses_loader}
    for file in files.values():
        file.look_up(loading)
    helpers = {each for file in files.values() for each in file.helpers}
    return {path: file.reads(helpers) for path, file in files.items()}


def words(texts: Mapping[str, str]) -> set[str]:
    """Return the strings that may be names of keys; code may assemble names from them."""
    scripts = (javascript.parse(path, text) for path, text in texts.items())
    return {each for script in scripts for each in script.strings() if _KEY.fullmatch(each)}


def uses_loader(path: str, text: str) -> bool:
    """Return whether a file imports the loader."""
    return PACKAGE in text and _JavaScriptFile(path, text).uses_loader


class _JavaScriptFile:
    """One file: its imports, and the members that it reads."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._bindings = javascript.Bindings()
        self._accesses: list[_Access] = []
        self._calls: list[tuple[Path, Read]] = []  # calls whose first argument is a name in quotes
        self._passed_on: list[tuple[Path, int]] = []
        self._mentioned: set[Path] = set()  # some may be the environment itself
        self._schemas: list[tuple[Path, Read]] = []
        self._required: list[Read] = []
        self._loading: Collection[str] = ()
        self._dynamic: list[int] = []
        self.helpers: set[str] = set()
        script = javascript.parse(path, text)
        self._error = script.error
        for node, around in script.nodes():
            self._take(node, around)

    @property
    def uses_loader(self) -> bool:
        return any(map(_is_loader, self._bindings.modules))

    def look_up(self, loading: Collection[str]) -> None:
        """Find the helpers, and the reads of names that are only known at run time.

        Args:
            loading: the files that use the loader; they may export its `config`.
        """
        self._loading = loading
        for each in self._accesses:
            if each.key is None and self._holds(each.source):
                if each.helper:
                    self.helpers.add(each.helper)
                else:
                    self._dynamic.append(each.line)
        self._dynamic += (line for source, line in self._passed_on if self._is_env(source))

    def reads(self, helpers: Collection[str]) -> Reads:
        """Return the reads of the file.

        Args:
            helpers: functions of all files that look up the keys that they are called with.
        """
        found = [*self._members(), *self._declarations()]
        found += (read for called, read in self._calls if self._asks(called, helpers))
        return Reads(
            sorted(found, key=lambda each: each.line),
            sorted({*self._dynamic}),
            self._error,
        )

    def _members(self) -> Iterator[Read]:
        for source, key, line, is_optional, _ in self._accesses:
            if key is None:
                continue
            if self._is_env(source):
                if source[0] != "import.meta" or key not in _VITE:
                    yield Read(key, line, is_optional)
            elif _KEY.fullmatch(key) and self._holds(source):
                yield Read(key, line, is_optional)

    def _declarations(self) -> Iterator[Read]:
        """Yield the keys of `load({ required, schema })`, and of schemas for the environment."""
        if self.uses_loader:
            yield from self._required
        if self.uses_loader or any(map(self._is_env, self._mentioned)):
            for root, each in self._schemas:
                if root == ("z",) or any(
                    m[0].startswith("<zod") for m in self._bindings.meanings(root)
                ):
                    yield each

    def _asks(self, called: Path, helpers: Collection[str]) -> bool:
        return (len(called) == 1 and called[0] in self.helpers) or any(
            len(each) == 2 and each[0].startswith("<") and each[1] in helpers
            for each in self._bindings.meanings(called)
        )

    def _is_env(self, path: Path) -> bool:
        return any(map(_is_environment, self._bindings.meanings(path)))

    def _holds(self, path: Path) -> bool:
        """Return whether a chain of names is the environment, or the loader's secrets."""
        return any(
            _is_environment(each) or self._is_secrets(each)
            for each in self._bindings.meanings(path)
        )

    def _is_secrets(self, path: Path) -> bool:
        if path == ("config",):
            return self.uses_loader
        if path[-2:] == ("load", "()"):
            return True
        if len(path) == 2 and path[0].startswith("<"):
            module = path[0][1:-1]
            if _is_loader(module):
                return path[1] == "config"
            return _is_loader_file(self._path, module, self._loading)
        return False

    def _take(self, node: "Node", around: Sequence["Node"]) -> None:
        for source, key, part, has_default in self._bindings.take(node):
            self._mentioned.update((source, (*source, key or "")))
            self._accesses.append(_Access(source, key, line_of(part), has_default))
        match node.type:
            case "member_expression" | "subscript_expression":
                self._take_member(node, around)
            case "call_expression":
                self._take_call(node, around)
            case "arguments":
                self._pass_on(node.named_children)
            case "for_in_statement":
                self._pass_on([node.child_by_field_name("right")])
            case "pair":
                self._take_pair(node)
            case "binary_expression":
                self._take_question(node)

    def _pass_on(self, nodes: Iterable["Node | None"]) -> None:
        """Record the chains of names that are passed on as a whole."""
        for node in nodes:
            if node is not None and unwrap(node).type in _CHAINS and (path := path_of(node)):
                self._passed_on.append((path, line_of(node)))

    def _take_member(self, node: "Node", around: Sequence["Node"]) -> None:
        key = javascript.name_in(node)
        source = path_of(node.child_by_field_name("object"))
        if key == "env":
            self._mentioned.add((*source, key))
        parent = around[-1] if around else None
        called = parent and parent.child_by_field_name("function")
        if parent and parent.type == "call_expression" and called == node:
            return
        if not source or _is_written(node, around):
            return
        if key is None:
            index = node.child_by_field_name("index")
            if index is not None and index.type != "number":
                helper = _helper(text_of(index), around) if index.type == "identifier" else ""
                self._accesses.append(_Access(source, None, line_of(node), False, helper))
        elif _KEY.fullmatch(key) or (source[-1] == "env" and _NAME.fullmatch(key)):
            is_optional = _has_default(node, around)
            self._accesses.append(_Access(source, key, line_of(node), is_optional))

    def _take_call(self, node: "Node", around: Sequence["Node"]) -> None:
        called = node.child_by_field_name("function")
        name = string_of(javascript.argument_of(node))
        if name and _NAME.fullmatch(name) and (path := path_of(called)):
            is_optional = javascript.argument_of(node, 1) is not None or _has_default(node, around)
            self._calls.append((path, Read(name, line_of(node), is_optional)))

    def _take_pair(self, node: "Node") -> None:
        key, value = node.child_by_field_name("key"), node.child_by_field_name("value")
        if key is None or value is None:
            return
        name = text_of(key) if key.type == "property_identifier" else string_of(key)
        if name == "required" and value.type == "array":
            for each in value.named_children:
                if _NAME.fullmatch(required := string_of(each) or ""):
                    self._required.append(Read(required, line_of(each)))
        elif name and _KEY.fullmatch(name) and (schema := _schema(value)):
            root, called = schema
            is_optional = not _OPTIONAL.isdisjoint(called)
            self._schemas.append(((root,), Read(name, line_of(node), is_optional)))

    def _take_question(self, node: "Node") -> None:
        """Record `"KEY" in process.env`."""
        if javascript.operator_of(node) != "in":
            return
        key = string_of(node.child_by_field_name("left"))
        source = path_of(node.child_by_field_name("right"))
        if key and source:
            self._accesses.append(_Access(source, key, line_of(node), True))


def _is_loader(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}/")


def _is_environment(path: Path) -> bool:
    return path[-2:] in (("process", "env"), ("Bun", "env")) or path == ("import.meta", "env")


def _is_loader_file(path: str, module: str, loading: Collection[str]) -> bool:
    if not module.startswith("."):
        return False
    plain = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
    stem = re.sub(r"\.[mc]?[jt]s$", "", plain)
    endings = (".js", ".ts", ".mjs", ".mts", ".cjs", ".cts", "/index.js", "/index.ts")
    return plain in loading or any(f"{stem}{end}" in loading for end in endings)


def _schema(value: "Node") -> tuple[str, set[str]] | None:
    """Return the root of a chain of calls, `z` of `z.string().max(3)`, and the called names."""
    called: set[str] = set()
    node: Node | None = unwrap(value)
    while node is not None and node.type in ("call_expression", "member_expression"):
        if node.type == "call_expression":
            node = node.child_by_field_name("function")
            if node is not None and node.type == "member_expression":
                called.add(javascript.name_in(node) or "")
        else:
            node = node.child_by_field_name("object")
    is_chain = node is not None and node.type == "identifier" and node != value
    return (text_of(node), called) if node and is_chain else None


def _has_default(node: "Node", around: Sequence["Node"]) -> bool:
    """Return whether a read has a default, or the program only tests or compares the value.

    A test that stops the program if the value is missing needs the value.
    """
    test = _Test()
    is_chained = is_passed_on = False
    inside = node
    for parent in reversed(around[-_DEEPEST:]):
        match parent.type:
            case "arguments":
                is_chained = False
            case "await_expression":
                pass
            case "call_expression" | "new_expression":
                function = parent.child_by_field_name("function")
                if inside == function and not is_chained:
                    return False
                called = path_of(function)[-1:] if function is not None else ()
                if test.is_made:
                    return not is_passed_on and not any(map(_ASSERTS.search, called))
                test.is_made = called == ("Boolean",)
                is_passed_on |= not test.is_made
            case "member_expression" | "subscript_expression":
                if inside != parent.child_by_field_name("object"):
                    return False
                is_chained |= parent.child_by_field_name("optional_chain") is not None
                if not is_chained:
                    return False
            case "unary_expression":
                test.take_unary(javascript.operator_of(parent))
            case "binary_expression":
                operator = javascript.operator_of(parent)
                if operator in ("??", "||", "&&"):
                    if inside == parent.child_by_field_name("left"):
                        return operator == "&&" or not test.demands
                elif operator in _COMPARISONS:
                    test.take_comparison(operator, inside, parent)
                elif operator not in _ARITHMETIC:
                    return False
            case "ternary_expression":
                if inside == parent.child_by_field_name("condition"):
                    return True
            case "if_statement" if inside == parent.child_by_field_name("condition"):
                missing = "consequence" if test.holds_if_missing else "alternative"
                stops = _stops(parent.child_by_field_name(missing))
                return not (is_passed_on or test.demands or stops)
            case "while_statement" if inside == parent.child_by_field_name("condition"):
                return not (is_passed_on or test.demands)
            case "augmented_assignment_expression":
                operator = javascript.operator_of(parent)
                is_left = inside == parent.child_by_field_name("left")
                return is_left and operator in ("??=", "||=", "&&=")
            case other:
                if other not in WRAPPERS:
                    return test.is_made and not is_passed_on
        inside = parent
    return False


@dataclass
class _Test:
    """A test of a value, as far as the enclosing expressions show it.

    Attributes:
        is_made: whether the expression is a boolean or the name of a type.
        holds_if_missing: whether it is true if the value is missing.
        is_of_value: whether it compares the value with something other than undefined or empty.
    """

    is_made: bool = False
    holds_if_missing: bool = False
    is_of_value: bool = False

    @property
    def demands(self) -> bool:
        """Return whether the test is true only for a missing value, which may then be needed."""
        return self.holds_if_missing and not self.is_of_value

    def take_unary(self, operator: str) -> None:
        if operator in ("!", "typeof"):
            self.is_made = True
            self.holds_if_missing ^= operator == "!"

    def take_comparison(self, operator: str, inside: "Node", comparison: "Node") -> None:
        sides = (comparison.child_by_field_name(each) for each in ("left", "right"))
        others = {text_of(each) for each in sides if each is not None and each != inside}
        is_nothing = not others.isdisjoint(_NOTHING)
        self.is_made = True
        self.holds_if_missing = operator.startswith("!") != is_nothing
        self.is_of_value = not is_nothing


def _stops(branch: "Node | None") -> bool:
    """Return whether a branch throws, or ends the process."""
    waiting = [branch] if branch is not None else []
    for _ in range(_FARTHEST):
        if not waiting:
            return False
        node = waiting.pop()
        if node.type == "throw_statement":
            return True
        called = node.child_by_field_name("function") if node.type == "call_expression" else None
        if called is not None and path_of(called)[-2:] == ("process", "exit"):
            return True
        if node.type not in FUNCTIONS:
            waiting += node.named_children
    return False


def _is_written(node: "Node", around: Sequence["Node"]) -> bool:
    """Return whether a member is only assigned to or deleted."""
    inside = node
    for parent in reversed(around[-_DEEPEST:]):
        match parent.type:
            case "assignment_expression" | "assignment_pattern" | "for_in_statement":
                return inside == parent.child_by_field_name("left")
            case "pair_pattern" | "array_pattern" | "rest_pattern":
                return True
            case "unary_expression":
                return javascript.operator_of(parent) == "delete"
            case other:
                if other not in WRAPPERS:
                    return False
        inside = parent
    return False


def _helper(name: str, around: Sequence["Node"]) -> str:
    """Return the enclosing function with a first parameter of this name, or ""."""
    nearest = around[-_FARTHEST:]
    for position in reversed(range(len(nearest))):
        function = nearest[position]
        if function.type in FUNCTIONS:
            parameters = _parameters(function)
            if name in parameters:
                is_first = parameters[0] == name
                return _name_of(function, nearest[:position]) if is_first else ""
    return ""


def _parameters(function: "Node") -> list[str]:
    """Return the names of the parameters: `a` of `a: string = "b"`."""
    only = function.child_by_field_name("parameter")
    given = function.child_by_field_name("parameters")
    nodes = [only] if only else [e for e in given.named_children if not e.is_extra] if given else []
    return [
        text_of(each.child_by_field_name("pattern") or each.child_by_field_name("left") or each)
        for each in nodes
    ]


def _name_of(function: "Node", around: Iterable["Node"]) -> str:
    """Return the name of a function in its file, or ""."""
    for parent in reversed([*around]):
        if parent.type == "variable_declarator":
            name = parent.child_by_field_name("name")
            return text_of(name) if name is not None and name.type == "identifier" else ""
        if parent.type not in WRAPPERS:
            break
    name = function.child_by_field_name("name")
    return text_of(name) if name is not None and function.type != "method_definition" else ""
