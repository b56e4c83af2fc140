"""Test that a question without a terminal fails with the option that answers it."""

import json
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from infisical_iac.cli.main import main
from infisical_iac.cli.output import answered_by, confirm, confirm_name


def _ask_yes() -> None:
    confirm("Make these changes?", yes=False)


def _ask_name() -> None:
    confirm_name("This removes it.", "the host's", "infisical", None)


def _fail(ask: Callable[[], None], monkeypatch: pytest.MonkeyPatch, given: str) -> dict[str, str]:
    apply = main.get_command(click.Context(main), "apply")
    assert apply
    monkeypatch.setattr(apply, "callback", lambda **_: ask())
    done = CliRunner().invoke(main, ["apply", "--json"], input=given)
    assert done.exit_code == 1
    failure: dict[str, str] = json.loads(done.stdout)
    return failure


@pytest.mark.parametrize(
    ("ask", "option"), [(_ask_yes, "--yes"), (_ask_name, "--confirm infisical")]
)
def test_a_question_that_nobody_answers_names_its_option(
    ask: Callable[[], None], option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = _fail(ask, monkeypatch, "")
    assert (failure["code"], option in failure["remedy"]) == ("refused.no_answer", True)


def test_the_answer_no_aborts_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _fail(_ask_yes, monkeypatch, "n\n")["code"] == "aborted"


def test_ctrl_c_aborts_without_a_remedy() -> None:
    with pytest.raises(click.Abort):
        _interrupt()


@answered_by("--yes")
def _interrupt() -> None:
    """Abort as click does."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise click.Abort from None
