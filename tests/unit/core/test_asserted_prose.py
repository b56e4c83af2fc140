"""Sentences that people read are asserted in the tests of wording only, so that they can improve.

A test elsewhere asserts codes and facts: names, numbers, paths, commands. Each folder has its tests
of wording in `test_wording.py`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_TESTS = Path("tests")
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
        for path in sorted(_TESTS.rglob("test_*.py"))
        if path.name != _WORDING
        for line, sentence in _asserted_sentences(ast.parse(path.read_text()))
    ]
    assert found == []


def test_an_asserted_sentence_is_found_wherever_it_stands() -> None:
    test = """
@pytest.mark.parametrize(("given", "expected"), [("x", "a setting is no such thing")])
def test_refusal(given: str, expected: str) -> None:
    with pytest.raises(Error, match="what was read is not known"):
        assert read(given) == f"1: {given} can't be read by anybody"
    assert expected in show("this is only what a test gives")
    assert run("docker volume rm infisical_postgres --force")
"""
    assert sorted(line for line, _ in _asserted_sentences(ast.parse(test))) == [2, 4, 5, 6]


def _asserted_sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for test in ast.walk(tree):
        if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
            for line, text in _asserted_texts(test):
                if sentence := _sentence(text):
                    yield line, sentence


def _asserted_texts(test: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Yield the texts that a test asserts, also those that its parameters give."""
    names: set[str] = set()
    for node in ast.walk(test):
        match node:
            case ast.Assert(test=expected) | ast.keyword(arg="match", value=expected):
                yield from _texts(expected)
                names |= {each.id for each in ast.walk(expected) if isinstance(each, ast.Name)}
    for decorator in test.decorator_list:
        match decorator:
            case ast.Call(args=[ast.Constant(value=str(only)), ast.List(elts=rows)]):
                cells = [(only, row) for row in rows]
            case ast.Call(args=[ast.Tuple(elts=columns), ast.List(elts=rows)]):
                named = [text for column in columns for _, text in _texts(column)]
                cells = [pair for row in rows for pair in zip(named, _columns(row), strict=False)]
            case _:
                continue
        yield from (text for name, cell in cells if name in names for text in _texts(cell))


def _columns(row: ast.expr) -> list[ast.expr]:
    match row:
        case ast.Tuple(elts=columns) | ast.Call(args=columns):  # pytest.param
            return columns
    return []


def _texts(node: ast.expr) -> Iterator[tuple[int, str]]:
    for each in ast.walk(node):
        match each:
            case ast.Constant(value=str(text)):
                yield each.lineno, text


def _sentence(text: str) -> str:
    """Return the first five words or more in a row that a sentence may have; else nothing."""
    for found in _IN_A_ROW.finditer(re.sub(r"\\(.)", r"\1", text)):
        if _OF_SENTENCES.search(found[0]):
            return found[0]
    return ""
