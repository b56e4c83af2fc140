"""Test that the tests on a real server are those that have its mark."""

from pathlib import Path

from tests.real.__main__ import _INSIDE

_REPOSITORY = Path(__file__).parents[3]


def test_all_contract_modules_with_the_mark_run_on_a_real_server() -> None:
    modules = sorted(_REPOSITORY.glob("tests/contract/test_*.py"))
    marked = [each for each in modules if "pytest.mark.real" in each.read_text("utf-8")]
    assert sorted(_INSIDE) == [str(each.relative_to(_REPOSITORY)) for each in marked]
