"""Test that classes have names of their own, and that docstrings state what there is."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

_QUESTIONS = ("What", "Whether", "How", "Who", "Which", "Why")
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
