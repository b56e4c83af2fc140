"""Test each operation's decision on a state that is up to date, differs, is absent or unknown."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.operations import (
    of_cluster,
    of_core,
    of_host,
    of_monitoring,
    of_stack,
    of_workspace,
)
from tests.unit.operations.cases import Case, Cases, decide

_PACKAGE = Path("infisical_iac")
_TABLES = tuple(
    each.OPERATIONS
    for each in (of_cluster, of_core, of_host, of_monitoring, of_stack, of_workspace)
)
OPERATIONS: dict[str, Cases] = {name: each for table in _TABLES for name, each in table.items()}
# A reason has at least as many words as a short sentence.
_LEAST_WORDS = 5


def _list_defined() -> Iterator[str]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
        text = path.read_text()
        if "@planned_operation" not in text:
            continue
        for each in ast.walk(ast.parse(text)):
            if isinstance(each, ast.FunctionDef) and any(
                isinstance(one, ast.Name) and one.id == "planned_operation"
                for one in each.decorator_list
            ):
                yield f"{module}.{each.name}"


def _list_cases() -> Iterator[tuple[str, Case]]:
    for name, cases in OPERATIONS.items():
        for kind, each in cases._asdict().items():
            if isinstance(each, Case):
                yield f"{name} {kind}", each
    for number, each in enumerate(
        (
            *of_host.REFUSALS,
            *of_stack.REFUSALS,
            *of_monitoring.EXPORTERS.values(),
            *of_monitoring.SHIPPING.values(),
        )
    ):
        yield f"further {number}", each


def _by_kind(kind: str) -> dict[str, Case | str]:
    return {name: getattr(cases, kind) for name, cases in OPERATIONS.items()}


MADE = dict(_list_cases())


def test_each_operation_of_the_package_has_its_four_cases() -> None:
    assert sorted(OPERATIONS) == sorted(_list_defined())


@pytest.mark.parametrize("name", MADE)
def test_an_operation_decides_on_the_observed_state(name: str) -> None:
    """A decision needs no host, because its arguments have the observed state."""
    case = MADE[name]
    assert decide(case) == case


def test_an_operation_without_differences_does_nothing() -> None:
    cases = [each for each in _by_kind("up_to_date").values() if isinstance(each, Case)]
    assert [each for each in cases if each.steps or each.items or not each.up_to_date] == []


def test_a_difference_is_repaired() -> None:
    cases = [each for each in _by_kind("differs").values() if isinstance(each, Case)]
    assert [each for each in cases if not each.steps and not each.items] == []


def test_a_case_that_cannot_exist_has_a_reason() -> None:
    reasons = [
        reason for cases in OPERATIONS.values() for reason in cases if isinstance(reason, str)
    ]
    assert [each for each in reasons if len(each.split()) < _LEAST_WORDS] == []
