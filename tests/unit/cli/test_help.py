"""Test that the help of every command is complete, in the words of the documentation."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from infisical_iac.cli.main import LazyGroup, main
from tests.unit.core.test_docs import STALE_WORDS

_EXIT_STATUSES = re.compile(r"Exit status: 0\b.*\b1\b")
# Further words that a help text does without; a page needs some of them.
_NOT_IN_HELP = re.compile(r"whose|of which|\blead\b|Don't ask", re.I)
# Words that refer to another option or to the command: a reader may have this line only.
_WORDS_OF_CONTEXT = re.compile(
    r"\b(?:yours|that place's|those of|instead(?! of)|of such|(?:write|show) them|that provider)\b",
    re.I,
)


def _all(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found
            yield from _all(found, f"{name} {each}")


_COMMANDS = dict(_all(main, "infisical-iac"))
LEAVES = {
    name: each
    for name, each in _COMMANDS.items()
    if not isinstance(each, click.Group) or each.invoke_without_command
}


def _options(command: click.Command) -> list[click.Option]:
    return [each for each in command.params if isinstance(each, click.Option) and not each.hidden]


def test_all_commands_are_tested() -> None:
    assert {"infisical-iac scale-in", "infisical-iac audit access"} <= {*LEAVES}
    assert len(LEAVES) >= 35


@pytest.mark.parametrize("name", LEAVES)
def test_help_of_a_command_ends_with_its_exit_statuses(name: str) -> None:
    *_, last = (LEAVES[name].help or "").split("\n\n")
    assert _EXIT_STATUSES.match(" ".join(last.split()))


def test_each_command_is_on_a_page_besides_the_reference() -> None:
    pages = (each for each in Path("docs").rglob("*.md") if each.parent.name != "reference")
    text = " ".join(" ".join(each.read_text().split()) for each in (Path("README.md"), *pages))
    assert [name for name in LEAVES if name not in text] == []


@pytest.mark.parametrize("name", LEAVES)
def test_each_argument_is_explained_by_its_name(name: str) -> None:
    command = LEAVES[name]
    for each in command.params:
        if isinstance(each, click.Argument):
            metavar = each.make_metavar(click.Context(command))
            word = (re.search(r"[A-Z]+", metavar) or ["KEY"])[0]
            assert word in (command.help or "")


@pytest.mark.parametrize("name", _COMMANDS)
def test_each_option_has_a_whole_sentence(name: str) -> None:
    for each in _options(_COMMANDS[name]):
        assert re.fullmatch(r"[A-Z`].*\.( \[default: [^]]+\])?", each.help or ""), each.name


@pytest.mark.parametrize("name", _COMMANDS)
def test_help_has_no_word_that_the_documentation_no_longer_uses(name: str) -> None:
    command = _COMMANDS[name]
    texts = [command.help, command.short_help, *(each.help for each in _options(command))]
    assert [each for each in texts if each and STALE_WORDS.search(each)] == []
    assert [each for each in texts if each and _NOT_IN_HELP.search(each)] == []


@pytest.mark.parametrize("name", _COMMANDS)
def test_help_of_an_option_makes_sense_without_its_context(name: str) -> None:
    texts = [each.help or "" for each in _options(_COMMANDS[name])]
    assert [each for each in texts if _WORDS_OF_CONTEXT.search(each)] == []


@pytest.mark.parametrize(
    "name", [name for name, each in _COMMANDS.items() if isinstance(each, click.Group)]
)
def test_no_line_in_a_list_of_commands_is_cut(name: str) -> None:
    group = _COMMANDS[name]
    shown = group.get_help(click.Context(group, info_name=name, terminal_width=80))
    assert [line for line in shown.splitlines()[1:] if line.endswith("...")] == []


def test_list_of_commands_is_grouped_and_names_each_command_once() -> None:
    assert isinstance(main, LazyGroup)
    names = [name for each in main.sections.values() for name in each]
    assert sorted(names) == sorted(main.list_commands(click.Context(main)))
    assert [*main.sections] == ["First steps", "Every day", "Recovery", "Server", "Cluster"]
