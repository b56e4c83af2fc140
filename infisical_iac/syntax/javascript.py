"""Parse JavaScript and TypeScript with tree-sitter, which is loaded when first needed.

Of a Vue or Svelte component, the scripts and the expressions in the markup are parsed.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Tree

_COMPONENTS = (".vue", ".svelte")
ENDINGS = (
    *(".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx"),
    *_COMPONENTS,
)

Dialect = Literal["javascript", "typescript", "tsx"]
_DECLARATIONS = re.compile(r"\.d\.[mc]?ts$")
_TYPESCRIPT = (".ts", ".mts", ".cts", ".tsx")

_MOST_WORK = 100_000
"""The most progress reports of the parser for one file: ordinary code of 6 MiB takes fewer."""
_PIECE = 1 << 10  # bytes that the parser gets at once
_LONGEST = 30  # the most parts of a chain of names

FUNCTIONS = frozenset(
    {
        *("function_declaration", "function_expression", "arrow_function", "method_definition"),
        *("generator_function", "generator_function_declaration"),
    }
)
# Nodes that do not change the value in them: `(a)`, `a!`, `a as T`, `a satisfies T`, `<T>a`.
WRAPPERS = frozenset(
    {
        *("parenthesized_expression", "non_null_expression", "as_expression"),
        *("satisfies_expression", "type_assertion"),
    }
)
# Nodes whose content does not run.
_NO_CODE = frozenset(
    {
        *("type_annotation", "type_arguments", "type_parameters", "type_query"),
        *("type_alias_declaration", "interface_declaration", "ambient_declaration"),
        *("regex", "string"),
    }
)

_STRINGS = ("string", "template_string", "template_literal_type")
_EXPRESSIONS = ("template_substitution", "template_type")

Path = tuple[str, ...]
"""A chain of names: ("process", "env"). An export begins with its module in angle brackets:
("<./config.js>", "env"). Modules of Node have none: ("process", "env") is also that of
"node:process". The awaited result of a function ends with "()"."""

_BUILTIN = frozenset({"process", "util"})
_MEANINGS = 50  # the most of one name; only minified code has more
# The names in a chain that may lead to the environment, to secrets or to a loader.
_ROOTS = frozenset({*_BUILTIN, "Bun", "import.meta", "config", "()"})
_CLAUSES = ("import_clause", "import_require_clause")
_LOCALS = ("identifier", "shorthand_property_identifier_pattern")
# Where a name gets a value: the fields of the name and of the value.
_BINDING = {
    "variable_declarator": ("name", "value"),
    "required_parameter": ("pattern", "value"),
    "optional_parameter": ("pattern", "value"),
    "assignment_expression": ("left", "right"),
    "assignment_pattern": ("left", "right"),
}


@dataclass(frozen=True)
class Script:
    """The code of one file.

    Attributes:
        error: the reason why not all of it was parsed, as a sentence, or "".
    """

    error: str = ""
    _trees: Sequence["Tree"] = field(default=(), repr=False)

    def nodes(self) -> Iterator[tuple["Node", Sequence["Node"]]]:
        """Yield each node of the running code with its parents, the outermost first.

        The sequence of parents changes with the next node.
        """
        for tree in self._trees:
            yield from _walk(tree, lambda node: node.type not in _NO_CODE)

    def strings(self) -> Iterator[str]:
        """Yield the contents of strings without expressions, also in types."""
        for tree in self._trees:
            for node, _ in _walk(tree, lambda _: True):
                if (value := string_of(node)) is not None:
                    yield value


def parse(path: str, text: str, most_work: int = _MOST_WORK) -> Script:
    """Parse a file, in the dialect of its name or, if that has more errors, in the other one.

    Bundlers can be configured to take Flow's types in `.js`, and elements in `.ts`. A syntax error
    hides only the code around it. A file that takes too much work has only an error. A file of
    declarations is empty, because nothing in it runs.
    """
    if _DECLARATIONS.search(path):
        return Script()
    parser = _Parser(most_work)
    title = "TypeScript" if path.endswith(_TYPESCRIPT) else "JavaScript"
    try:
        if path.endswith(_COMPONENTS):
            component = read_component(text)
            first, other = _dialects(".ts" if component.is_typescript else "", component.scripts)
            tree, markup = parser.best(component.scripts, first, other), component.markup
            trees = [tree, *([parser.parse(markup, first)] if markup.strip() else [])]
        else:
            tree = parser.best(text, *_dialects(posixpath.splitext(path)[1], text))
            trees = [tree]
    except TimeoutError:
        return Script(f"It is too large or too deeply nested to be read as {title}.")
    wrong = next(_errors(tree), None)
    error = f"It can't be read as {title} in full (line {line_of(wrong)})." if wrong else ""
    return Script(error, trees)


def _dialects(ending: str, text: str) -> tuple[Dialect, Dialect | None]:
    """Return the dialect of a file's name, and another one in which it may be written."""
    if ending == ".tsx":
        return "tsx", None
    if ending in _TYPESCRIPT:
        return "typescript", "tsx" if "</" in text or "/>" in text else None
    return "javascript", "tsx" if ":" in text else None


class _Parser:
    """A parser of the texts of one file, with a limit on the work for all of them."""

    def __init__(self, most_work: int) -> None:
        self._left = most_work

    def best(self, text: str, dialect: Dialect, other: Dialect | None) -> "Tree":
        """Parse a text; if it has errors, also in the other dialect; return the better tree."""
        tree = self.parse(text, dialect)
        if not tree.root_node.has_error or other is None:
            return tree
        return min(tree, self.parse(text, other), key=_weight)

    def parse(self, text: str, dialect: Dialect) -> "Tree":
        """Parse any text. Raises TimeoutError if it is too much work."""
        from tree_sitter import Parser

        data = text.encode(errors="replace")

        def piece(offset: int, _point: object) -> bytes:
            return data[offset : offset + _PIECE]

        def is_enough(_offset: int, _has_error: bool) -> bool:
            self._left -= 1
            return self._left < 0

        try:
            return Parser(_language(dialect)).parse(
                piece, encoding="utf8", progress_callback=is_enough
            )
        except ValueError:
            raise TimeoutError from None


@cache
def _language(dialect: Dialect) -> "Language":
    from tree_sitter import Language

    if dialect == "javascript":
        import tree_sitter_javascript

        return Language(tree_sitter_javascript.language())
    import tree_sitter_typescript

    if dialect == "tsx":
        return Language(tree_sitter_typescript.language_tsx())
    return Language(tree_sitter_typescript.language_typescript())


def _walk(
    tree: "Tree", enters: Callable[["Node"], bool]
) -> Iterator[tuple["Node", Sequence["Node"]]]:
    cursor = tree.walk()
    around: list[Node] = []
    while node := cursor.node:
        yield node, around
        if enters(node) and cursor.goto_first_child():
            around.append(node)
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
            around.pop()


def _errors(tree: "Tree") -> Iterator["Node"]:
    """Yield the nodes that do not fit the grammar, in their order."""
    for node, around in _walk(tree, lambda each: each.has_error and not each.is_error):
        # The grammar knows no `&` among the words of an element, as in <p>Save & close</p>.
        in_element = around and around[-1].type == "jsx_element"
        is_text = in_element and text_of(node)[:1] == "&"
        if (node.is_error and not is_text) or node.is_missing:
            yield node


def _weight(tree: "Tree") -> int:
    """Return the amount of text that does not fit the grammar."""
    return sum(1 + each.end_byte - each.start_byte for each in _errors(tree))


def text_of(node: "Node") -> str:
    return (node.text or b"").decode(errors="replace")


def line_of(node: "Node") -> int:
    """Return the line that a node begins in, counted from 1."""
    return node.start_point.row + 1


def string_of(node: "Node | None") -> str | None:
    """Return the content of a string, or of a template without expressions; else None."""
    if node is None or node.type not in _STRINGS:
        return None
    if any(each.type in _EXPRESSIONS for each in node.named_children):
        return None
    return text_of(node)[1:-1]


def unwrap(node: "Node") -> "Node":
    """Return the expression in parentheses, assertions and the like."""
    while node.type in WRAPPERS and (inside := _inner_expression(node)):
        node = inside
    return node


def _inner_expression(node: "Node") -> "Node | None":
    """Return the expression in a wrapper or after `await`: the last of `<T>a`, else the first."""
    inside = [each for each in node.named_children if not each.is_extra]
    if not inside:
        return None
    return inside[-1 if node.type == "type_assertion" else 0]


def name_in(node: "Node") -> str | None:
    """Return the name of a member: `b` of `a.b` and of `a["b"]`; None if it is computed."""
    if node.type == "member_expression":
        name = node.child_by_field_name("property")
        return text_of(name) if name else None
    return string_of(node.child_by_field_name("index"))


def path_of(node: "Node | None", steps: int = _LONGEST) -> Path:
    """Return the chain of names of an expression; for `a.b ?? {}` that of `a.b`.

    A chain that begins with another expression begins with "". Return () for other expressions, and
    for chains that are too long.
    """
    names: list[str] = []
    while node is not None and (steps := steps - 1) > 0:
        node = unwrap(node)
        if node.type in ("member_expression", "subscript_expression"):
            name = name_in(node)
            if name is None:
                return ()
            names.append(name)
            node = node.child_by_field_name("object")
        elif node.type == "binary_expression" and operator_of(node) in ("??", "||"):
            node = node.child_by_field_name("left")
        else:
            root = _root(node, steps)
            return (*root, *reversed(names)) if root or not names else ("", *reversed(names))
    return ()


def _root(node: "Node", steps: int) -> Path:
    if node.type in ("identifier", "this"):
        return (text_of(node),)
    if node.type == "meta_property":
        return ("import.meta",) if text_of(node).startswith("import") else ()
    if node.type == "await_expression":
        call = _inner_expression(node)
        called = call.child_by_field_name("function") if call else None
        if call and called and called.type == "import":
            return _module(string_of(argument_of(call)))
        return _result(called, steps)
    if node.type == "call_expression":
        called = node.child_by_field_name("function")
        if called and _is_require(called):
            return _module(string_of(argument_of(node)))
        if called and called.type == "await_expression":  # the tree of `await load<T>()`
            return _result(_inner_expression(called), steps)
    return ()


def _module(name: str | None) -> Path:
    if not name:
        return ()
    builtin = name.removeprefix("node:")
    return (builtin,) if builtin in _BUILTIN else (f"<{name}>",)


def _result(called: "Node | None", steps: int) -> Path:
    path = path_of(called, steps)
    return (*path, "()") if path else ()


def argument_of(call: "Node", position: int = 0) -> "Node | None":
    """Return the argument of a call at a position, or None."""
    given = call.child_by_field_name("arguments")
    found = [each for each in given.named_children if not each.is_extra] if given else []
    return found[position] if len(found) > position else None


def operator_of(node: "Node") -> str:
    """Return the operator of an expression: `??` of `a ?? b`."""
    operator = node.child_by_field_name("operator")
    return text_of(operator) if operator else ""


def _is_require(called: "Node") -> bool:
    return called.type == "identifier" and text_of(called) == "require"


class PatternMember(NamedTuple):
    """A member that a pattern takes: `A` of `const { A = 1 } = source`; None if it is computed."""

    source: Path
    name: str | None
    node: "Node"
    has_default: bool


class Bindings:
    """The meanings of a file's names, whatever their scope, and the modules that it imports."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self._bound: dict[str, set[Path]] = {}

    def meanings(self, path: Path) -> Iterator[Path]:
        """Yield the chains that a chain may stand for, itself first, up to a limit."""
        seen, waiting = {path}, [path]
        while waiting and len(seen) <= _MEANINGS:
            yield (path := waiting.pop())
            sources = self._bound.get(path[0], ()) if path else ()
            more = {(*source, *path[1:]) for source in sources} - seen
            seen |= more
            waiting += more

    def take(self, node: "Node") -> Iterator[PatternMember]:
        """Record the names that a node binds; yield the members that its pattern takes."""
        if node.type in _BINDING:
            to, value = map(node.child_by_field_name, _BINDING[node.type])
            source = path_of(value)
            if to is not None and source:
                yield from self._bind(to, source)
        elif node.type in ("import_statement", "export_statement"):
            self._import(node)
        elif node.type == "call_expression":
            called = node.child_by_field_name("function")
            is_import = called and (called.type == "import" or _is_require(called))
            if is_import and (name := string_of(argument_of(node))):
                self.modules.add(name)

    def _bind(self, target: "Node", source: Path) -> Iterator[PatternMember]:
        waiting = [(target, source)]
        while waiting:
            node, path = waiting.pop()
            leads_on = path[0] in self._bound or path[0].startswith("<")
            if node.type in _LOCALS and (leads_on or not _ROOTS.isdisjoint(path)):
                self._bound.setdefault(text_of(node), set()).add(path)
            for part in node.named_children if node.type == "object_pattern" else ():
                if part.is_extra:
                    continue
                name, to, has_default = _part(part)
                yield PatternMember(path, name, part, has_default)
                if name is not None and to is not None:
                    waiting.append((to, (*path, name)))

    def _import(self, node: "Node") -> None:
        clause = next((each for each in node.named_children if each.type in _CLAUSES), None)
        source = node.child_by_field_name("source")
        if source is None and clause is not None:
            source = clause.child_by_field_name("source")
        if name := string_of(source):
            self.modules.add(name)
            for local, path in _imported_names(clause, _module(name)) if clause else ():
                self._bound.setdefault(local, set()).add(path)


def _imported_names(clause: "Node", module: Path) -> Iterator[tuple[str, Path]]:
    """Yield the names that an import binds, each with its chain in the module."""
    is_whole = clause.type == "import_require_clause" or module[0] in _BUILTIN
    for each in clause.named_children:
        if each.type == "identifier":
            yield text_of(each), module if is_whole else (*module, "default")
        elif each.type == "namespace_import":
            yield from ((text_of(name), module) for name in each.named_children)
        for specifier in each.named_children if each.type == "named_imports" else ():
            name = specifier.child_by_field_name("name")
            alias = specifier.child_by_field_name("alias") or name
            if name and alias:
                yield text_of(alias), (*module, string_of(name) or text_of(name))


def _part(node: "Node") -> tuple[str | None, "Node | None", bool]:
    """Return the key of a part of a pattern, its target, and whether it has a default."""
    if node.type == "shorthand_property_identifier_pattern":
        return text_of(node), node, False
    if node.type == "object_assignment_pattern":
        left = node.child_by_field_name("left")
        return (text_of(left) if left else None), left, True
    key, value = node.child_by_field_name("key"), node.child_by_field_name("value")
    if key is None or key.type == "computed_property_name":
        return None, None, False
    name = string_of(key) or text_of(key)
    if value is not None and value.type == "assignment_pattern":
        return name, value.child_by_field_name("left"), True
    return name, value, False


# The bounds keep an unclosed tag from being read to the end of the file.
_ATTRIBUTES = r"(?:[^<>\"']|\"[^\"]{0,300}\"|'[^']{0,300}'){0,300}+"
_OPENING = re.compile(rf"<!--|<(script|style)\b({_ATTRIBUTES})>", re.IGNORECASE)
_IS_TYPESCRIPT = re.compile(r"\blang\s*=\s*[\"']?tsx?\b")
_BRACE = re.compile(r"[{}]")
# `v-if="…"` and `:title="…"` have expressions, `@click="…"` has statements.
_ATTRIBUTE = re.compile(
    r"(?<!\S)(?:(?P<statements>@|v-on:)|[:#]|v-)[^\s=\"'<>]*=(?P<quote>[\"'])(?P<code>[^\"']*)"
    r"(?P=quote)"
)
# Svelte's words before an expression, such as `#if` and `:else if`, and after it.
_BEFORE = re.compile(r"\s*+(?:\.\.\.|[#:@/][a-z]*+(?:[ ]if)?)?+")
_AFTER = {"#each": " as ", "#await": " then "}
_BLANK = re.compile(r"[^\n]")


class Component(NamedTuple):
    """The code of a component; all else is blank, so that lines and columns stay.

    Attributes:
        scripts: the contents of its `<script>` elements.
        markup: the expressions around them, each as a statement.
        is_typescript: whether a script says that it is written in TypeScript.
    """

    scripts: str
    markup: str
    is_typescript: bool


def read_component(text: str) -> Component:
    scripts, markup = [], []
    position, lower = 0, text.lower()
    is_typescript = False
    while opening := _OPENING.search(text, position):  # a comment, a script or a style
        tag = (opening[1] or "").lower()
        closing = f"</{tag}" if tag else "-->"
        found = lower.find(closing, opening.end())
        inside_end = found if found >= 0 else len(text)
        end = min(len(text), inside_end + len(closing))
        inside = text[opening.end() : inside_end]
        markup += [text[position : opening.start()], _blank_out(text[opening.start() : end])]
        scripts += [
            _blank_out(text[position : opening.end()]),
            inside if tag == "script" else _blank_out(inside),
            _blank_out(text[inside_end:end]),
        ]
        is_typescript |= tag == "script" and bool(_IS_TYPESCRIPT.search(opening[2]))
        position = end
    scripts.append(_blank_out(text[position:]))
    expressions = _expressions("".join([*markup, text[position:]]))
    return Component("".join(scripts), expressions, is_typescript)


def _blank_out(text: str) -> str:
    return _BLANK.sub(" ", text)


def _expressions(markup: str) -> str:
    """Return the markup with everything but its expressions blank."""
    code = list(_blank_out(markup))
    for found in _ATTRIBUTE.finditer(markup):
        start, end = found.span("code")
        code[start:end] = markup[start:end]
        code[start - 2 : start] = ";;" if found["statements"] else ";("
        code[end] = ";" if found["statements"] else ")"
    for start, end in _find_braces(markup):
        code[start : end + 1] = _to_statement(markup[start : end + 1])
    return "".join(code)


def _find_braces(markup: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of the outermost pairs of braces; unclosed braces are left out."""
    depth = start = 0
    for brace in _BRACE.finditer(markup):
        if brace[0] == "{":
            start = start if depth else brace.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield start, brace.start()


def _to_statement(braced: str) -> str:
    if braced.startswith("{{") and braced.endswith("}}") and len(braced) > 3:
        return f";({braced[2:-2]});"
    inside = braced[1:-1]
    before = _BEFORE.match(inside)
    begin = before.end() if before else 0
    after = _AFTER.get(inside[:begin].strip(), "")
    end = inside.rfind(after) if after else -1
    end = end if end >= begin else len(inside)
    return f";{_blank_out(inside[:begin])}{inside[begin:end]}{_blank_out(inside[end:])};"
