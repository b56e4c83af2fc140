"""Test that every command with --json fails with one JSON object, for programs."""

import json
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.main import main
from infisical_iac.core.errors import Refused
from infisical_iac.core.terminal import print_data

_ERROR = "another run is at work on this host: wait for it to end"
_FAILURE = {
    "code": "refused.locked",
    "message": "another run is at work on this host",
    "remedy": "wait for it to end",
}


def _with_json(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if any(each.name == "as_json" for each in command.params):
            yield *names, name
        if isinstance(command, click.Group):
            yield from _with_json(command, *names, name)


_COMMANDS = list(_with_json(main))


def _run(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], *options: str, answers: bool = False
) -> Result:
    def fail(*_: object, **__: object) -> None:
        if answers:
            print_data({"failure": "yes"})
        raise Refused(_ERROR, code="refused.locked")

    command: click.Command | None = main
    for name in names:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command
    monkeypatch.setattr(command, "callback", fail)
    for each in command.params:
        monkeypatch.setattr(each, "required", False)
    return CliRunner().invoke(main, [*names, *options])


def test_all_commands_with_json_are_tested() -> None:
    assert {("plan",), ("apply",), ("audit", "access"), ("server", "plan")} <= {*_COMMANDS}
    assert len(_COMMANDS) >= 22


@pytest.mark.parametrize("names", _COMMANDS, ids=" ".join)
def test_a_failure_is_one_json_object(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _run(monkeypatch, names, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == _FAILURE
    assert done.stderr == f"Error: {_ERROR}\n"


@pytest.mark.parametrize("names", _COMMANDS, ids=" ".join)
def test_a_failure_without_json_is_only_the_sentence(
    names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = _run(monkeypatch, names)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"Error: {_ERROR}\n")


def test_a_failure_after_json_output_is_printed_to_standard_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program that reads the answer finds one document on standard output."""
    done = _run(monkeypatch, ("apply",), "--json", answers=True)
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"failure": "yes"}
    assert json.loads(done.stderr.splitlines()[0]) == _FAILURE


def test_a_wrong_option_is_a_json_object_too() -> None:
    done = CliRunner().invoke(main, ["plan", "--json", "--jsn"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["code"] == "usage"
    assert "--jsn" in json.loads(done.stdout)["message"]
    assert "No such option" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "facts", "absent"),
    [
        (("credentials", "rotate", "backend", "--yes"), ("--yes", "nothing to confirm"), "--env"),
        (("drift", "--yes"), ("--yes", "nothing to confirm"), "Did you mean"),
        # They ask for a name, which another option gives.
        (("destroy", "--yes"), ("--yes", "--confirm"), "nothing to confirm"),
        (("plan", "--inventry", "x"), ("--inventory",), "nothing to confirm"),
    ],
)
def test_an_unknown_option_is_refused_with_the_closest_one(
    arguments: tuple[str, ...], facts: tuple[str, ...], absent: str
) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    for fact in facts:
        assert fact in result.output
    assert absent not in result.output


def test_the_remedy_of_a_wrong_option_is_a_key_of_its_own() -> None:
    done = CliRunner().invoke(main, ["check", "--fix", "--offline", "--json"])
    failure = json.loads(done.stdout)
    assert failure["code"] == "usage"
    assert ("--fix" in failure["message"], "--offline" in failure["message"]) == (True, False)
    assert ("--fix" in failure["remedy"], "--offline" in failure["remedy"]) == (False, True)


def test_a_declined_question_is_a_json_object_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(**_: object) -> None:
        click.confirm("Make these changes?", abort=True, err=True)

    apply = main.get_command(click.Context(main), "apply")
    assert apply
    monkeypatch.setattr(apply, "callback", ask)
    done = CliRunner().invoke(main, ["apply", "--json"], input="n\n")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["code"] == "aborted"
