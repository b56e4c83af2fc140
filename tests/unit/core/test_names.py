"""Test the names of classes and functions, and the first words of docstrings and comments."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_QUESTIONS = ("What", "Whether", "How", "Who", "Which", "Why")
# Endings of participles, and the verbs and nouns of the package that have one of these endings.
_PARTICIPLE = re.compile(r"_?[a-z]+(ed|en|wn|ld|pt|id|ne|de|nt|ght|ft)")
_VERBS = {
    *("adopt", "attempt", "build", "conclude", "count", "decide", "decode"),
    *("decrypt", "encode", "find", "fingerprint", "grant", "hold", "mount"),
    *("open", "point", "print", "prompt", "send", "shorten", "upgrade"),
}
_NOUNS = {
    *("client", "content", "current", "drift", "environment", "line", "mode"),
    *("moment", "node", "old", "one", "own", "preflight", "present"),
    *("script", "unknown", "uuid", "valid", "weight"),
}
_MOST_PARTICIPLES = 10
_JAVASCRIPT = ("*.js", "*.ts")
_BLOCK = re.compile(r"/\*\*[\s*]*(\S+)")
_ROOTS = ("infisical_iac", "loaders/python", "tests", "bench")


def _nodes(*roots: str) -> Iterator[tuple[Path, ast.AST]]:
    for root in roots:
        for path in sorted(Path(root).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield from ((path, node) for node in ast.walk(ast.parse(path.read_text())))


def test_each_class_of_the_package_has_a_name_of_its_own() -> None:
    names = Counter(
        node.name for _, node in _nodes("infisical_iac") if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_no_docstring_begins_like_a_question() -> None:
    found = [
        f"{path}: {text.splitlines()[0]}"
        for path, node in _nodes(*_ROOTS)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (text := ast.get_docstring(node))
        and text.split()[0] in _QUESTIONS
    ]
    assert found == []


def test_no_block_of_documentation_in_javascript_begins_like_a_question() -> None:
    found = [
        f"{path}:{path.read_text()[: match.start()].count(chr(10)) + 1}"
        for suffix in _JAVASCRIPT
        for path in sorted(Path("loaders/node").rglob(suffix))
        if "node_modules" not in path.parts
        for match in _BLOCK.finditer(path.read_text())
        if match[1] in _QUESTIONS
    ]
    assert found == []


def test_few_functions_are_named_by_a_bare_participle() -> None:
    """A function is named by what it does, such as `list_nodes`, and not by its result."""
    found = [
        f"{path}: {node.name}"
        for path, node in _nodes("infisical_iac")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _PARTICIPLE.fullmatch(node.name)
        and node.name.lstrip("_") not in _VERBS | _NOUNS
    ]
    assert found[_MOST_PARTICIPLES:] == []
