"""Test that no check of tests/host can pass without an assertion about the host."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from infisical_iac.workspace.foreign import Kind

_SUITE = Path(__file__).resolve().parents[2] / "host"
_LEAST_CHECKS = 150


class Check(NamedTuple):
    """A check of the suite: the function, and the file that has it."""

    file: str
    function: ast.FunctionDef

    def __str__(self) -> str:
        return f"{self.file}: {self.function.name}"

    @property
    def asserts(self) -> list[ast.Assert]:
        return [each for each in ast.walk(self.function) if isinstance(each, ast.Assert)]


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(_SUITE.rglob("*.py")):
        yield str(path.relative_to(_SUITE)), ast.parse(path.read_text())


def _checks(trees: list[tuple[str, ast.Module]]) -> list[Check]:
    return [
        Check(file, each)
        for file, tree in trees
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    ]


TREES = list(_trees())
CHECKS = _checks(TREES)


def has_alternative(check: Check) -> bool:
    """Return whether one side of an `or` can make an assertion pass by itself."""
    tests = [each.test for each in check.asserts]
    return any(isinstance(each, ast.BoolOp) and isinstance(each.op, ast.Or) for each in tests)


def has_early_return(check: Check) -> bool:
    """Return whether a check can end as passed before its assertions."""
    return any(isinstance(each, ast.Return) for each in ast.walk(check.function))


def has_condition(check: Check) -> bool:
    """Return whether an assertion is made under a condition only."""
    return any(
        isinstance(inner, ast.Assert)
        for each in ast.walk(check.function)
        if isinstance(each, ast.If)
        for inner in each.body
        if not _is_followed_by_skip(each)
    )


def _is_followed_by_skip(condition: ast.If) -> bool:
    last = condition.body[-1]
    return isinstance(last, ast.Expr) and ast.unparse(last).startswith("pytest.skip(")


def has_loop_that_may_be_empty(check: Check) -> bool:
    """Return whether an assertion is in a loop over values that may be empty."""
    loops = [
        each.iter
        for each in ast.walk(check.function)
        if isinstance(each, ast.For) and any(isinstance(one, ast.Assert) for one in ast.walk(each))
    ]
    loops += [
        each.test.args[0].generators[0].iter
        for each in check.asserts
        if isinstance(each.test, ast.Call)
        and ast.unparse(each.test.func) == "all"
        and isinstance(each.test.args[0], ast.GeneratorExp)
    ]
    seen = [ast.unparse(each.test) for each in check.asserts]
    seen += [
        ast.unparse(each.test) for each in ast.walk(check.function) if isinstance(each, ast.If)
    ]
    return any(
        not isinstance(each, ast.Tuple | ast.List)
        and not any(_root(each) in text and not text.startswith("all(") for text in seen)
        for each in loops
    )


def _root(iterable: ast.expr) -> str:
    return ast.unparse(iterable).removesuffix(".values()").removesuffix(".items()")


RULES = (has_alternative, has_early_return, has_condition, has_loop_that_may_be_empty)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_check_of_a_host_can_pass_without_an_assertion(rule: type) -> None:
    assert len(CHECKS) > _LEAST_CHECKS
    assert [str(each) for each in CHECKS if rule(each)] == []


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        (has_alternative, "assert settings.hardening == 'off' or strict"),
        (has_early_return, "if off:\n  return\n assert strict"),
        (has_condition, "if not off:\n  assert strict"),
        (has_loop_that_may_be_empty, "for each in found:\n  assert each"),
        (has_loop_that_may_be_empty, "assert all(each for each in found.values())"),
    ],
)
def test_a_check_that_can_pass_without_an_assertion_is_found(rule: type, body: str) -> None:
    [check] = _checks([("test_it.py", ast.parse(f"def test_it():\n {body}"))])
    assert rule(check)


@pytest.mark.parametrize(
    "body",
    [
        "if off:\n  pytest.skip('off')\n assert strict",
        "assert found\n for each in found.values():\n  assert each",
        "for each in ('a', 'b'):\n  assert each",
    ],
)
def test_a_check_with_a_certain_assertion_is_accepted(body: str) -> None:
    [check] = _checks([("test_it.py", ast.parse(f"def test_it():\n {body}"))])
    assert [each.__name__ for each in RULES if each(check)] == []


def test_no_check_expects_a_constant_of_the_product() -> None:
    """Otherwise a check would accept a wrong constant, because it has the same one."""
    imported = [
        f"{file}: {name.name}"
        for file, tree in TREES
        for each in ast.walk(tree)
        if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("infisical_iac")
        for name in each.names
        if re.fullmatch("[A-Z][A-Z0-9_]+", name.name)
    ]
    assert imported == []


def test_each_kind_of_foreign_access_has_its_check() -> None:
    text = (_SUITE / "inside" / "test_foreign.py").read_text()
    assert [each for each in get_args(Kind) if f'"{each}": "' not in text] == []
