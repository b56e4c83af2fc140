"""Test that sentences for people are asserted only in tests of wording, so that they can improve.

Other tests assert codes and facts: names, numbers, paths, commands. A sentence that a test itself
passes to a function is an input. Each folder has its tests of wording in `test_wording.py`.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cache
from itertools import compress
from pathlib import Path

_TESTS = (Path("tests"), Path("loaders/python/tests"))
_WORDING = "test_wording.py"
_IN_A_ROW = re.compile(r"(?<![\w./-])(?:[A-Za-z'’]+[,;:]? ){4,}[A-Za-z'’]+")
# A command or a line of a configuration has none of these words.
_OF_SENTENCES = re.compile(
    r"\b(?:a|an|and|are|as|at|be|been|before|but|by|can't|does|done|for|from|had|has|have|in|is|it|"
    r"its|must|no|nobody|not|nothing|of|on|once|only|or|that|the|then|there|this|to|until|was|were|"
    r"what|which|while|with|without)\b",
    re.IGNORECASE,
)


def test_sentences_are_asserted_in_tests_of_wording_only() -> None:
    found = [
        f"{path}:{line} {sentence}"
        for tests in _TESTS
        for path in sorted(tests.rglob("test_*.py"))
        if path.name != _WORDING
        for line, sentence in _find_asserted_sentences(ast.parse(path.read_text()))
    ]
    assert found == []


def test_an_asserted_sentence_is_found_in_each_form_of_assertion() -> None:
    test = """
_SENTENCE = "a constant of the module can be one"
_GIVEN = "a constant that a test gives is none"
_REPEATED = "this is only what a test gives"
def _fails(given: str, reason: str) -> None:
    assert reason in run(given)
@pytest.mark.parametrize(("given", "expected"), [("x", "a setting is no such thing")])
def test_refusal(given: str, expected: str) -> None:
    with pytest.raises(Error, match="what was read is not known"):
        assert read(given) == f"1: {given} can't be read by anybody"
    show("this is only what a test gives")
    assert expected in show("an argument in an assertion is asserted too")
    sentence = f"{given} is a local name that is asserted"
    assert read(_GIVEN) == [_SENTENCE, sentence, _GIVEN, _REPEATED]
    _fails("what is given to the function is free", "the reason of it is none")
    assert run("docker volume rm infisical_postgres --force")
"""
    lines = [line for line, _ in _find_asserted_sentences(ast.parse(test))]
    assert lines == [2, 7, 9, 10, 12, 13, 15]


def _find_asserted_sentences(tree: ast.Module) -> list[tuple[int, str]]:
    _walk.cache_clear()
    docstrings = {each.value for each in _walk(tree) if isinstance(each, ast.Expr)}
    # Most files have no sentence but in docstrings, and need not be searched for assertions.
    if not any(
        _find_sentence(str(each.value)) for each in _texts(_walk(tree)) if each not in docstrings
    ):
        return []
    functions = [each for each in _walk(tree) if isinstance(each, ast.FunctionDef)]
    helpers = {each.name: _find_asserted_parameters(each) for each in functions}
    asserted = {each: [*_find_asserted(each, helpers)] for each in functions}
    compared = {name for nodes in asserted.values() for name in _find_compared(nodes)}
    constants = _find_constants(tree, compared)
    texts = {
        text
        for test, nodes in asserted.items()
        if test.name.startswith("test_")
        for text in _find_asserted_texts(test, nodes, constants | _find_constants(test, compared))
    }
    given = "\n".join(str(each.value) for each in _texts(_walk(tree)) if each not in texts)
    found = ((each.lineno, _find_sentence(str(each.value))) for each in texts)
    return sorted((line, sentence) for line, sentence in found if sentence not in given)


@cache
def _walk(node: ast.AST) -> list[ast.AST]:
    return [*ast.walk(node)]


def _find_asserted(
    function: ast.FunctionDef, helpers: Mapping[str, Sequence[bool]]
) -> Iterator[ast.expr]:
    """Yield the asserted expressions of a function, also those that it passes to a helper."""
    for node in _walk(function):
        match node:
            case ast.Assert(test=expected) | ast.keyword(arg="match", value=expected):
                yield expected
            case ast.Call(func=ast.Name(id=name), args=given) if name in helpers:
                yield from compress(given, helpers[name])


def _find_asserted_parameters(function: ast.FunctionDef) -> list[bool]:
    names = {each.id for each in _find_compared(_find_asserted(function, {}))}
    return [each.arg in names for each in function.args.args]


def _find_constants(
    scope: ast.Module | ast.FunctionDef, compared: Set[ast.Name]
) -> dict[str, ast.expr]:
    """Return the names whose value is only compared; other values are inputs of a test."""
    given = {
        each.id
        for each in _names(_walk(scope))
        if isinstance(each.ctx, ast.Load) and each not in compared
    }
    return {
        target.id: node.value
        for node in scope.body
        if isinstance(node, ast.Assign)
        if not isinstance(node.value, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id not in given
    }


def _find_compared(asserted: Iterable[ast.expr]) -> Iterator[ast.Name]:
    return (name for node in asserted for name in _names(_walk_outside_calls(node)))


def _names(nodes: Iterable[ast.AST]) -> Iterator[ast.Name]:
    return (each for each in nodes if isinstance(each, ast.Name))


def _walk_outside_calls(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and its descendants, but not the arguments of calls, which are inputs."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(node, ast.Call) or child is node.func:
            yield from _walk_outside_calls(child)


def _find_asserted_texts(
    test: ast.FunctionDef, asserted: Sequence[ast.expr], constants: Mapping[str, ast.expr]
) -> Iterator[ast.Constant]:
    """Yield the texts that a test asserts, also those of constants and of its parameters."""
    for expected in asserted:
        yield from _texts(_walk(expected))
    names = {each.id for expected in asserted for each in _names(_walk(expected))}
    for name in names & constants.keys():
        yield from _texts(_walk_outside_calls(constants[name]))
    for decorator in test.decorator_list:
        match decorator:
            case ast.Call(args=[ast.Constant(value=str(only)), ast.List(elts=rows)]):
                cells = [(only, row) for row in rows]
            case ast.Call(args=[ast.Tuple(elts=columns), ast.List(elts=rows)]):
                named = [str(each.value) for column in columns for each in _texts(ast.walk(column))]
                cells = [pair for row in rows for pair in zip(named, _columns(row), strict=False)]
            case _:
                continue
        for name, cell in cells:
            if name in names:
                yield from _texts(ast.walk(cell))


def _columns(row: ast.expr) -> list[ast.expr]:
    match row:
        case ast.Tuple(elts=columns) | ast.Call(args=columns):  # pytest.param
            return columns
    return []


def _texts(nodes: Iterable[ast.AST]) -> Iterator[ast.Constant]:
    return (each for each in nodes if isinstance(each, ast.Constant) and type(each.value) is str)


def _find_sentence(text: str) -> str:
    """Return the first five or more words in a row of a sentence; empty if there are none."""
    for found in _IN_A_ROW.finditer(re.sub(r"\\(.)", r"\1", text)):
        if _OF_SENTENCES.search(found[0]):
            return found[0]
    return ""
