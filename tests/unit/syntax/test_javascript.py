"""Test how code is parsed, and which chains of names its expressions and names stand for."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from infisical_iac.syntax import javascript
from infisical_iac.syntax.javascript import Bindings, Path, PatternMember

if TYPE_CHECKING:
    from tree_sitter import Node

_NAMES = ("identifier", "property_identifier", "type_identifier", "shorthand_property_identifier")
_INSIDE = ("string_fragment", "regex_pattern")


@pytest.mark.parametrize(
    "ending",
    ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "vue", "svelte"],
)
def test_files_of_these_names_hold_code(ending: str) -> None:
    assert f"a.{ending}".endswith(javascript.ENDINGS)
    assert not f"a.{ending}on".endswith(javascript.ENDINGS)


def _nodes(code: str, path: str = "a.ts") -> Iterator["Node"]:
    script = javascript.parse(path, code)
    assert script.error == ""
    return (node for node, _ in script.nodes())


def _find(code: str, *types: str, path: str = "a.ts") -> "Node":
    """Return the first node of one of the types."""
    return next(node for node in _nodes(code, path) if node.type in types)


def _path(expression: str) -> Path:
    """Return the chain of names of an expression."""
    declarator = _find(f"const it = {expression};", "variable_declarator")
    return javascript.path_of(declarator.child_by_field_name("value"))


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ("process", ("process",)),
        ("process.env.A", ("process", "env", "A")),
        ("process?.env?.['A']", ("process", "env", "A")),
        ("a['b'][`c`].d", ("a", "b", "c", "d")),
        ("this.a", ("this", "a")),
        ("import.meta.env", ("import.meta", "env")),
        ("a.b ?? {}", ("a", "b")),
        ("a.b || {}", ("a", "b")),
        ("(a.b ?? {}).c", ("a", "b", "c")),
        ("((a)).b", ("a", "b")),
        ("(/* the */ a /* one */).b", ("a", "b")),
        ("a!.b", ("a", "b")),
        ("((a as A) as T).b", ("a", "b")),
        ("(a satisfies T).b", ("a", "b")),
        ("(<T>a).b", ("a", "b")),
        # Of any other expression only the last names are known.
        ("f().a.b", ("", "a", "b")),
        ("[1].a", ("", "a")),
        ("(await ready).a", ("", "a")),
        ("(await f()()).a", ("", "a")),
        ("new.target.a", ("", "a")),
        # Modules, and the values that functions of a loader return.
        ("require('node:process').env", ("process", "env")),
        ("require('util')", ("util",)),
        ("require(/* my */ './own.js').a", ("<./own.js>", "a")),
        ("require(name).a", ("", "a")),
        ("require().a", ("", "a")),
        ("required('process').env", ("", "env")),
        ("await import('node:process')", ("process",)),
        ("(await import('./own.js')).default", ("<./own.js>", "default")),
        ("(await import(name)).a", ("", "a")),
        ("await load()", ("load", "()")),
        ("(await own.load()).A", ("own", "load", "()", "A")),
        ("(await load<T>()).A", ("load", "()", "A")),
    ],
)
def test_a_chain_of_names_is_found_in_each_spelling(expression: str, path: Path) -> None:
    assert _path(expression) == path


@pytest.mark.parametrize(
    "expression",
    ["f()", "1", "a && b", "a + b", "a[b]", "a[0].b", "a[`${b}`].c", "load()", "new.target", "{}"],
)
def test_other_expressions_have_no_chain_of_names(expression: str) -> None:
    assert _path(expression) == ()


def test_a_chain_of_thirty_names_is_too_long() -> None:
    assert len(_path(".".join(["a"] * 29))) == 29
    assert _path(".".join(["a"] * 30)) == ()


def test_a_chain_through_many_awaited_calls_is_too_long() -> None:
    """Each level costs as much as a name, so that code can't exhaust the stack."""
    assert _path("(await (await load())()).a") == ("load", "()", "()", "a")
    chain = "load"
    for _ in range(40):
        chain = f"(await {chain}())"
    assert _path(f"{chain}.a") == ("", "a")


@pytest.mark.parametrize(
    ("string", "content"),
    [
        ("'a b'", "a b"),
        ('"a"', "a"),
        ("`a\nb`", "a\nb"),
        ("''", ""),
        ("`a${b}`", None),
        ("a", None),
        ("1", None),
    ],
)
def test_the_content_of_a_string_is_known_unless_it_has_expressions(
    string: str, content: str | None
) -> None:
    declarator = _find(f"const it = {string};", "variable_declarator")
    assert javascript.string_of(declarator.child_by_field_name("value")) == content


def test_a_missing_node_has_no_content_and_no_chain() -> None:
    assert javascript.string_of(None) is None
    assert javascript.path_of(None) == ()


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("a.b", "b"),
        ("a.#b", "#b"),
        ("a['b']", "b"),
        ("a[`b`]", "b"),
        ("a[b]", None),
        ("a[0]", None),
    ],
)
def test_the_name_of_a_member_is_known_unless_it_is_computed(member: str, name: str | None) -> None:
    node = _find(f"{member};", "member_expression", "subscript_expression")
    assert javascript.name_in(node) == name


@pytest.mark.parametrize(
    ("call", "first", "second"),
    [
        ("f(/* the */ a, /* other */ b)", "a", "b"),
        ("f(a)", "a", None),
        ("f()", None, None),
        ("new A", None, None),
    ],
)
def test_arguments_are_counted_without_comments(
    call: str, first: str | None, second: str | None
) -> None:
    node = _find(call, "call_expression", "new_expression")
    for position, expected in enumerate((first, second)):
        found = javascript.argument_of(node, position)
        assert (javascript.text_of(found) if found else None) == expected
    found = javascript.argument_of(node)
    assert (javascript.text_of(found) if found else None) == first


def test_an_expression_without_an_operator_has_an_empty_operator() -> None:
    assert javascript.operator_of(_find("a ?? b;", "binary_expression")) == "??"
    assert javascript.operator_of(_find("a;", "identifier")) == ""


def test_lines_are_counted_from_one() -> None:
    assert javascript.line_of(_find("a;", "identifier")) == 1
    assert javascript.line_of(_find("\n\na;", "identifier")) == 3


# Executed code.


@pytest.mark.parametrize(
    "code",
    [
        "let shown: Hidden;",
        "shown<Hidden>();",
        "function shown<Hidden>() {}",
        "type Hidden = Hidden;",
        "interface Hidden { hidden: Hidden }",
        "declare const hidden: Hidden;",
        "shown as typeof hidden;",
        "shown satisfies typeof hidden;",
        "// hidden\nshown;",
        "/hidden/.shown;",
        "'hidden'.shown;",
    ],
)
def test_types_comments_strings_and_patterns_are_not_executed(code: str) -> None:
    nodes = [*_nodes(code)]
    texts = {javascript.text_of(node) for node in nodes if node.type in (*_NAMES, *_INSIDE)}
    assert texts <= {"shown"}


@pytest.mark.parametrize("code", ["/* a */ b; // c", "<!-- a\nb;", "const it = <p>a &amp; b</p>;"])
def test_comments_and_text_have_no_nodes_inside(code: str) -> None:
    kinds = ("comment", "html_comment", "jsx_text")
    nodes = [node for node in _nodes(code, "a.jsx") if node.type in kinds]
    assert nodes
    assert [node.child_count for node in nodes] == [0] * len(nodes)


def test_the_text_between_elements_is_not_executed() -> None:
    nodes = [*_nodes("<p>hidden {shown}</p>;", "a.tsx")]
    names = [javascript.text_of(node) for node in nodes if node.type == "identifier"]
    assert names == ["p", "shown", "p"]


def test_the_parents_of_a_node_begin_with_the_outermost() -> None:
    script = javascript.parse("a.js", "f(a);\n({ b });")
    around = {
        javascript.text_of(node): [each.type for each in parents]
        for node, parents in script.nodes()
        if node.child_count == 0
    }
    assert around["a"] == ["program", "expression_statement", "call_expression", "arguments"]
    assert around["b"] == [
        *("program", "expression_statement", "parenthesized_expression", "object"),
    ]


def test_strings_are_found_in_types_and_in_other_strings_too() -> None:
    code = "type A = 'a' | `b` | `c${D}`;\nuse('e', `f`, `g${h('i')}`);"
    assert [*javascript.parse("a.ts", code).strings()] == ["a", "b", "e", "f", "i"]


# The dialect of a file.


@pytest.mark.parametrize("ending", ["d.ts", "d.mts", "d.cts"])
def test_a_file_of_declarations_has_no_code(ending: str) -> None:
    script = javascript.parse(f"a.{ending}", "declare const a = 'b';")
    assert ([*script.nodes()], [*script.strings()], script.error) == ([], [], "")
    assert [*javascript.parse("ad.ts", "const a = 'b';").strings()] == ["b"]
    assert [*javascript.parse("a.d.ts.js", "const a = 'b';").strings()] == ["b"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("a.js", "use(a as string);"),  # a type without a colon
        ("a.js", "enum A { B }"),
        ("a.ts", "const it = <p>;"),  # an element that is not closed
        ("a.tsx", "const it = <T>a;"),
        ("a.vue", "<script>use(a as string)</script>"),
    ],
)
def test_code_of_an_unrecognized_dialect_is_an_error(path: str, code: str) -> None:
    assert javascript.parse(path, code).error != ""


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("a.js", "const it = <p />;"),
        ("a.jsx", "const it = <p>a</p>;"),
        ("a.mjs", "const it: string = a;"),
        ("a.cjs", "const it = (a: string) => <p>{a}</p>;"),
        ("a.ts", "const it = <T>a;"),
        ("a.mts", "const it: string = a;"),
        ("a.cts", "const it = <p>{a}</p>;"),
        ("a.ts", "const it = <p />;"),
        ("a.tsx", "const it = (a: string) => <p>{a}</p>;"),
        ("a.vue", '<script lang="ts">const it = <T>a;</script>'),
        ("a.vue", "<script>const it: string = a;</script>"),
        ("a.svelte", "<script>const it = a;</script>"),
    ],
)
def test_a_file_is_read_in_the_dialect_of_its_name_or_in_another_that_fits(
    path: str, code: str
) -> None:
    assert javascript.parse(path, code).error == ""
    names = [javascript.text_of(node) for node in _nodes(code, path) if node.type == "identifier"]
    assert {"it"} <= {*names}


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.js", "JavaScript"),
        ("a.jsx", "JavaScript"),
        ("a.ts", "TypeScript"),
        ("a.mts", "TypeScript"),
        ("a.cts", "TypeScript"),
        ("a.tsx", "TypeScript"),
    ],
)
def test_an_error_names_the_language_and_the_first_line_that_does_not_fit(
    path: str, language: str
) -> None:
    error = javascript.parse(path, "a();\nconst = ;\nb();\nconst = ;\n").error
    assert re.search(rf" {language} .*line 2\b", error)
    too_large = javascript.parse(path, "const a = (" * 5_000, most_work=100).error
    assert re.search(rf" {language}\b", too_large)


def test_a_missing_bracket_is_an_error() -> None:
    assert "line 2" in javascript.parse("a.js", "a();\nb(1").error


def test_an_ampersand_between_elements_is_text() -> None:
    assert javascript.parse("a.jsx", "const it = <p>Save & close</p>;").error == ""
    assert javascript.parse("a.jsx", "const it = <>Save & close</>;").error == ""
    assert javascript.parse("a.jsx", "const it = a & & b;").error != ""


def test_the_dialect_that_parses_more_of_an_erroneous_text_is_chosen() -> None:
    types = "const a: string = b as string;\nfunction f(a: string): void { g(a!); }\n"
    script = javascript.parse("a.js", f"{types}const = ;\n{types}")
    assert "line 3" in script.error
    assert {node.type for node, _ in script.nodes()} >= {"as_expression", "non_null_expression"}


def test_the_work_is_limited_for_all_texts_of_a_file_together() -> None:
    expression = "a(1);" * 2_000
    most = 1
    while javascript.parse("a.js", expression, most).error:
        most *= 2
    component = f"<script>{expression}</script>\n<p>{{{expression.replace(';', '+')}1}}</p>"
    assert javascript.parse("a.svelte", component, 8 * most).error == ""
    assert "JavaScript" in javascript.parse("a.svelte", component, most).error


# The meanings of names.


def _bindings(code: str, path: str = "a.ts") -> Bindings:
    found = Bindings()
    for node in _nodes(code, path):
        for _ in found.take(node):
            pass
    return found


def _meaning(code: str, path: str = "a.ts") -> list[Path]:
    """Return the chains of names that `it` stands for."""
    return sorted([*_bindings(code, path).meanings(("it",))][1:])


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("const it = process.env;", ("process", "env")),
        ("let it; it = process;", ("process",)),
        ("function f(it = process) {}", ("process",)),
        ("function f(it?: T = process) {}", ("process",)),
        ("[it = process] = list;", ("process",)),
        ("const it = util;", ("util",)),
        ("const it = Bun.env;", ("Bun", "env")),
        ("const it = import.meta.env;", ("import.meta", "env")),
        ("const it = config.a;", ("config", "a")),
        ("const it = await f();", ("f", "()")),
        ("const it = require('./own.js').a;", ("<./own.js>", "a")),
        ("const { it } = process;", ("process", "it")),
        ("const { a: it } = process;", ("process", "a")),
        ("const { 'a-b': it } = process;", ("process", "a-b")),
        ("const { a: it = 1 } = process;", ("process", "a")),
        ("const { it = 1 } = process;", ("process", "it")),
        ("const { a: { b: { it } } } = process;", ("process", "a", "b", "it")),
        ("const { /* the */ it } = process;", ("process", "it")),
        ("import it from './own.js';", ("<./own.js>", "default")),
        ("import * as it from './own.js';", ("<./own.js>",)),
        ("import { it } from './own.js';", ("<./own.js>", "it")),
        ("import { a as it } from './own.js';", ("<./own.js>", "a")),
        ("import { 'a-b' as it } from './own.js';", ("<./own.js>", "a-b")),
        ("import a, { it } from './own.js';", ("<./own.js>", "it")),
        ("import it from 'node:process';", ("process",)),
        ("import { env as it } from 'process';", ("process", "env")),
        ("import it = require('./own.js');", ("<./own.js>",)),
    ],
)
def test_a_name_stands_for_the_chain_that_it_is_bound_to(code: str, path: Path) -> None:
    assert _meaning(code) == [path]


@pytest.mark.parametrize("code", ["function f(it = process) {}", "const f = (it = process) => 1;"])
def test_a_default_of_a_parameter_is_found_in_javascript_too(code: str) -> None:
    assert _meaning(code, "a.js") == [("process",)]


@pytest.mark.parametrize(
    "code",
    [
        "const it = other.thing;",
        "const it = f();",
        "const { [a]: it } = process;",
        "const { a: it } = other;",
        "const { ...it } = process;",
        "it = 1;",
        "f(it, process);",
        "export { it };",
    ],
)
def test_a_name_without_a_known_binding_stands_for_itself(code: str) -> None:
    assert _meaning(code) == []


def test_a_name_stands_for_all_its_bindings_including_indirect_ones() -> None:
    code = "import own from './own.js';\nlet it = own.a;\nit = process;\nconst e = it.env;"
    names = _bindings(code)
    assert sorted(names.meanings(("e", "A"))) == [
        *(("<./own.js>", "default", "a", "env", "A"), ("e", "A")),
        *(("it", "env", "A"), ("own", "a", "env", "A"), ("process", "env", "A")),
    ]
    assert [*names.meanings(())] == [()]


def test_circular_bindings_are_followed_once() -> None:
    names = _bindings("let a = process; let b = a; a = b;")
    assert sorted(names.meanings(("b",))) == [("a",), ("b",), ("process",)]


@pytest.mark.parametrize(("others", "followed"), [(49, 50), (50, 1)])
def test_a_name_has_at_most_fifty_meanings(others: int, followed: int) -> None:
    """Only minified code binds a name more often."""
    names = _bindings("".join(f"it = process.a{number};" for number in range(others)))
    assert len([*names.meanings(("it",))]) == followed


def test_modules_are_found_in_each_kind_of_import() -> None:
    code = """
    import "a";
    import { x } from "b";
    export * from "c";
    import d = require("d");
    import("e");
    require("f");
    required("no"); import(name); require(name); export { x };
    """
    assert _bindings(code).modules == {*"abcdef"}


def _take(code: str) -> list[tuple[Path, str | None, str, bool]]:
    names = Bindings()
    taken: list[PatternMember] = [each for node in _nodes(code) for each in names.take(node)]
    return [
        (each.source, each.name, javascript.text_of(each.node), each.has_default) for each in taken
    ]


def test_a_pattern_takes_members_with_and_without_defaults() -> None:
    code = "const { A, /* or */ B = 1, c: d, 'e': f = 2, [g]: h, ...i } = process.env;"
    source = ("process", "env")
    assert _take(code) == [
        (source, "A", "A", False),
        (source, "B", "B = 1", True),
        (source, "c", "c: d", False),
        (source, "e", "'e': f = 2", True),
        (source, None, "[g]: h", False),
        (source, None, "...i", False),
    ]


def test_a_nested_pattern_takes_members_of_members() -> None:
    assert _take("const { env: { A } = {} } = process;") == [
        (("process",), "env", "env: { A } = {}", True),
        (("process", "env"), "A", "A", False),
    ]
