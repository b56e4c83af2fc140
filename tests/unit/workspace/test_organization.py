"""Test that any printable name of the organization is accepted, and never executed."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infisical_iac.api import instance
from infisical_iac.core.agent import Question
from infisical_iac.core.change import Change
from infisical_iac.core.errors import SettingsError
from infisical_iac.stack import session
from infisical_iac.workspace import bootstrap
from infisical_iac.workspace.bootstrap import DesiredInstance, InstanceState, decide, due
from tests.unit.agent.fake_runner import FakeRunner, answer
from tests.unit.settings_of import settings_of

_ADMIN = "admin@example.com"
_CONFIG = "curl --noproxy * --silent --show-error --fail"
_HOSTILE = (
    "Müller & Söhne GmbH",
    'Say "hello"',
    "It's",
    "a; touch ran; b",
    "$(touch ran) `touch ran` ${HOME} $HOME",
    "back\\slash \\n \\\\ \\u0041",
    "%s %d %% %n",
    '","password":"obviously-fake',
    '"}{"',
    "-e --data @file",
    "| > ran < & # * ? [a-z] ~ !! {a,b}",
    "<script>alert(1)</script>",
    "北京 🔐",
    "[bold]markup[/]",
    "{{ 7 * 7 }} {% raw %}",
)


@pytest.mark.parametrize("name", [*_HOSTILE, "A", "x" * 64, "🔐" * 32])
def test_a_printable_name_is_accepted(name: str) -> None:
    assert settings_of(organization=name).workspace.organization == name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "two\nlines",
            "tab\tin it",
            "\x1b[31mred",
            "end ",
            " begin",
            "x" * 65,
            "🔐" * 33,
        ),
        *("turned\u202eround", "nul\0", "line\u2028end", "half \ud83d"),
    ],
)
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"'organization': .* is not a name; .* 1 to 64"):
        settings_of(organization=name)


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_name_arrives_unchanged_and_is_not_executed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = FakeRunner(tmp_path, {_CONFIG: '{"config":{"initialized":false}}', "curl": "{}\n200"})
    agent.write(
        "/etc/infisical/admin.env",
        f"INFISICAL_ADMIN_EMAIL={_ADMIN}\nINFISICAL_ADMIN_PASSWORD=obviously-fake-password\n",
    )

    def perform(asked: Question[None], *, doing: str) -> None:
        answer(asked, agent, changes=True)
        raise _Ended

    monkeypatch.setattr(bootstrap, "perform", perform)
    with pytest.raises(_Ended):
        bootstrap._bootstrap(DesiredInstance(name, _ADMIN, 8080))
    command, body = agent.ran[-1]
    assert json.loads(body) == {
        "email": _ADMIN,
        "password": "obviously-fake-password",
        "organization": name,
    }
    assert "A" in name or name not in command
    assert "obviously-fake-password" not in "".join(each for each, _ in agent.ran)


class _Ended(Exception):
    pass


def test_a_refused_rename_is_blocked_with_a_remedy() -> None:
    desired = DesiredInstance("Müller & Söhne GmbH", _ADMIN, 8080)
    there = InstanceState(True, organization="ChainAlign")
    (item,) = decide(desired, there)
    assert isinstance(item, Change)
    assert (item.kind, item.what) == ("!", "organization ChainAlign")
    assert "hyphens and underscores" in item.detail
    assert "or to 'ChainAlign'" in item.detail


def test_a_blocked_rename_does_not_block_other_changes() -> None:
    desired = DesiredInstance("A.B", _ADMIN, 8080)
    found = [*decide(desired, InstanceState(True, True, "Other"))]
    assert [str(each)[:14] for each in found[:2]] == ["! organization", "~ sign-up: ope"]
    assert len(found) == 3


def test_the_name_of_the_first_deploy_is_up_to_date() -> None:
    name = "Müller & Söhne GmbH"
    assert due(DesiredInstance(name, _ADMIN, 8080), InstanceState(True, organization=name)) == []


@pytest.mark.parametrize(("name", "renamed"), [("New Name_1-2", ["New Name_1-2"]), ("A.B", [])])
def test_only_a_name_that_the_server_accepts_is_sent(
    name: str, renamed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    own = [SimpleNamespace(id="organization-1", name="Other")]
    monkeypatch.setattr(instance, "own_organizations", lambda _: own)
    monkeypatch.setattr(instance, "rename_organization", lambda _, __, given: sent.append(given))

    def end(_: str) -> Any:
        raise _Ended

    monkeypatch.setattr(session, "read_env", end)
    client: Any = None
    with pytest.raises(_Ended):
        bootstrap._make_deployer(client, DesiredInstance(name, _ADMIN, 8080))
    assert sent == renamed
