"""Test that the tree of errors is small, and each class is caught by name and has its own code."""

import ast
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

import infisical_iac
from infisical_iac.agent.answers import AnswerError, NoAnswer
from infisical_iac.agent.runner import Failure
from infisical_iac.core import errors
from infisical_iac.core.errors import CheckFailed, CommandFailed, Refused, SettingsError, UserError

_T = TypeVar("_T", bound=ast.AST)
_TREE = {
    name: found
    for name, found in vars(errors).items()
    if isinstance(found, type) and issubclass(found, UserError)
}
_OF_THE_AGENT = ("AnswerError", "NoAnswer", "NoLogin")
_BASES = ("Error", "Exception", "Refused", "Refusal", "Failed")


@cache
def _all_nodes() -> dict[type[ast.AST], list[ast.AST]]:
    """Return the nodes of all modules by kind; the result is cached, as the walk is slow."""
    found: dict[type[ast.AST], list[ast.AST]] = {
        kind: [] for kind in (ast.ClassDef, ast.ExceptHandler, ast.Call)
    }
    for file in Path(infisical_iac.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if type(node) in found:
                found[type(node)].append(node)
    return found


def _nodes(kind: type[_T]) -> list[_T]:
    return [node for node in _all_nodes()[kind] if isinstance(node, kind)]


def _names(node: ast.AST | None) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} if node else set()


def test_there_are_at_most_a_dozen_error_classes() -> None:
    found = [
        each.name
        for each in _nodes(ast.ClassDef)
        if any(ast.unparse(base).endswith(_BASES) for base in each.bases)
    ]
    own = [each for each in found if each not in _OF_THE_AGENT]
    assert len(own) <= 12, own
    assert set(own) >= _TREE.keys()


def test_the_agent_fails_with_a_code_and_has_few_classes_of_its_own() -> None:
    """Its errors are RuntimeErrors with a Failure, and these are the ones that it catches."""
    found = [
        each.name
        for each in _nodes(ast.ClassDef)
        if any(ast.unparse(base) == "RuntimeError" for base in each.bases)
    ]
    assert sorted(found) == sorted(_OF_THE_AGENT)
    assert issubclass(errors.ApiError, AnswerError)
    assert issubclass(errors.Unreachable, NoAnswer)


def test_each_error_class_is_drawn_in_the_docstring() -> None:
    drawn = [line.strip(" *").partition(":")[0] for line in str(errors.__doc__).splitlines()]
    assert [each for each in drawn if each in _TREE] == list(_TREE)


def test_each_error_class_is_caught_by_name() -> None:
    caught = {name for each in _nodes(ast.ExceptHandler) for name in _names(each.type)}
    for call in _nodes(ast.Call):
        if ast.unparse(call.func) in ("isinstance", "suppress"):
            caught |= {name for each in call.args for name in _names(each)}
    assert _TREE.keys() - caught == set()


def test_each_error_class_has_its_own_code() -> None:
    codes = [each.code for each in _TREE.values()]
    assert len(set(codes)) == len(codes)


def test_a_more_specific_code_begins_with_the_code_of_its_class() -> None:
    given = {
        (call.func.id, ast.literal_eval(keyword.value))
        for call in _nodes(ast.Call)
        if isinstance(call.func, ast.Name) and call.func.id in _TREE
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    assert ("SettingsError", "settings.unknown_key") in given
    assert [each for each in given if not each[1].startswith(f"{_TREE[each[0]].code}.")] == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("checks.data", CheckFailed),
        ("refused.newer_tool", Refused),
        ("not_bootstrapped", errors.NotBootstrapped),
        ("unreachable", errors.Unreachable),
        ("error", UserError),
        ("command.timeout", CommandFailed),
        ("api.permission", CommandFailed),
    ],
)
def test_a_failure_of_the_agent_has_the_class_of_its_code(code: str, kind: type[UserError]) -> None:
    with pytest.raises(UserError) as failed, errors.agent_failures():
        raise RuntimeError(Failure(code, "it is full", "free space"))
    assert type(failed.value) is kind
    assert failed.value.code == code
    assert failed.value.split() == ("it is full", "free space")


def test_other_errors_than_failures_of_the_agent_stay_as_they_are() -> None:
    for error in (RuntimeError("a defect"), Refused("not now")):
        with pytest.raises(type(error)) as raised, errors.agent_failures():
            raise error
        assert raised.value is error


def test_an_error_without_a_code_has_the_code_of_its_class() -> None:
    assert SettingsError("it is wrong").code == "settings"
    assert SettingsError("it is wrong", code="settings.unknown_key").code == "settings.unknown_key"
    assert Refused("not now", part="Docker").part == "Docker"


# The error, the joint and the remedy of each sentence, divided by `|`; `||` ends a sentence
# without a remedy.
_SENTENCES = [
    "setting 'x': 1 is not a port|: |choose one",
    "it broke off|; |run again, or wait",
    "it is gone|: |`apply` makes it",
    "it is gone|; |if it was you, run again",
    "it failed (no key: set one)|; |run again",
    "it failed: no space left on device||",
    "it failed: open /run/x: no such file||",
    "it moves|; |pin a release",
    "it is empty|; |for everybody write x",
    "it is old|, so |go back without x",
    "it is back|, and |`infisical-iac apply` ends it",
    "it was kept, so nobody saw it||",
    "x was kept|; |the next `apply` ends it",
    "none is kept|: |the first upgrade makes one",
    "no target x|: |the settings have a, b",
    "no service x|: |there are: a, b",
    "no key x|: |group_data/all.py lists all",
    "the key stays|: |docs/operate/keys.md explains how",
    "no key is in it|: |age-keygen makes one",
    "it is another key|: |it takes those of age",
    "the keys differ|: |without --kit x counts",
]


@pytest.mark.parametrize("marked", _SENTENCES)
def test_an_error_is_split_from_its_remedy(marked: str) -> None:
    error, joint, remedy = marked.split("|")
    assert CommandFailed(error + joint + remedy).split() == (error, remedy)


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("https://anybody:fake@host/x answers 500", "https://***@host/x answers 500"),
        ("https://fake@host: check it", "https://***@host: check it"),
        ("url is 'https://a:fa ke/@host'", "url is 'https://***@host'"),
        ("url is 'anybody:fake@host'", "url is '***@host'"),
        ("sftp://u1:fake@host:23//x", "sftp://***@host:23//x"),
        ("'ssh://u1@fa ke@host'", "'ssh://***@host'"),
        ("'HTTPS://a:fake@host' and 'https://b:fake@c'", "'HTTPS://***@host' and 'https://***@c'"),
    ],
)
def test_no_error_contains_the_login_of_an_address(sentence: str, shown: str) -> None:
    assert str(UserError(sentence)) == shown


# Texts with an `@`, and no password before it.
_WITHOUT_PASSWORDS = [
    "'infisical/infisical:v0.165.16@sha256:aa' is not here",
    "'registry:5000/postgres:17@sha256:aa' is not here",
    "deploy@db-1 can't be reached by ssh (no route)",
    "'sftp:u1@u1.example.com:../x' is not a place for a repository",
    "'sftp://u1@u1.example.com:23//backups' is not a place for a repository",
    "ssh://deploy@db-1:2222 can't be reached: no route",
    "see https://example.com/a and ask ada@example.com: she knows",
    "https://www.npmjs.com/package/@infisical/sdk is not reached",
]


@pytest.mark.parametrize("sentence", _WITHOUT_PASSWORDS)
def test_text_that_only_resembles_a_password_is_shown(sentence: str) -> None:
    assert str(UserError(sentence)) == sentence
