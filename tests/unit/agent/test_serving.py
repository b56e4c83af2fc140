"""Test the protocol between the two sides: the archive, its delivery, calls, answers and errors."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from infisical_iac.agent import PROTOCOL, files, serving, system
from infisical_iac.agent.files import PathState
from infisical_iac.agent.runner import Runner
from infisical_iac.core import agent, archive, journal, remote
from infisical_iac.core.agent import (
    ask,
    command_question,
    inspect,
    inspect_ahead,
    perform,
    question,
    together,
)
from infisical_iac.core.errors import CommandFailed, Refused

_HOSTNAME = question(files.texts, paths=["/etc/hostname"])


@dataclass
class _Host:
    """This machine as a host: it runs the commands, with the agent below a directory."""

    directory: Path
    sent: list[tuple[str, str]]

    def send(self, command: str, stdin: str) -> str:
        self.sent.append((command, stdin))
        done = subprocess.run(
            ["sh", "-c", command.replace(archive.DIRECTORY, str(self.directory))],
            input=stdin,
            capture_output=True,
            text=True,
        )
        return done.stdout.rstrip("\n")

    @property
    def agents(self) -> list[str]:
        return sorted(each.name for each in self.directory.glob("*"))


@pytest.fixture
def host(tmp_path: Path) -> _Host:
    return _Host(tmp_path / "lib", [])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, host: _Host) -> journal.Journal:
    """The journal of a run that sends its commands to `host`."""
    run = journal.Journal()
    monkeypatch.setattr(journal, "current", lambda: run)
    monkeypatch.setattr(journal, "has_changed_any_host", lambda: run.has_changed)
    monkeypatch.setattr(agent, "_send", host.send)
    return run


def test_the_archive_is_the_same_at_each_build_and_has_nothing_but_the_agent() -> None:
    first = archive.build()
    archive.build.cache_clear()
    assert archive.build() == first
    with ZipFile(io.BytesIO(first)) as built:
        names = built.namelist()
        assert {each.date_time for each in built.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    own = {
        f"infisical_iac/agent/{each.name}" for each in Path(serving.__file__).parent.glob("*.py")
    }
    assert {*names} == own | {"__main__.py", "infisical_iac/__init__.py"}


def test_the_agent_is_delivered_once_and_then_called(host: _Host) -> None:
    hostname = Path("/etc/hostname").read_text()
    assert ask(_HOSTNAME, host.send) == {"/etc/hostname": hostname}
    assert len(host.sent) == 4
    assert host.agents == [Path(archive.path()).name]
    assert ask(_HOSTNAME, host.send) == {"/etc/hostname": hostname}
    assert len(host.sent) == 5


def test_an_older_agent_is_replaced(host: _Host) -> None:
    host.directory.mkdir()
    (host.directory / f"agent-{PROTOCOL}-0123456789ab.pyz").write_text("older")
    ask(_HOSTNAME, host.send)
    assert host.agents == [Path(archive.path()).name]


def test_a_host_with_a_newer_agent_is_refused(host: _Host) -> None:
    host.directory.mkdir()
    newer = f"agent-{PROTOCOL + 1}-0123456789ab.pyz"
    (host.directory / newer).write_text("newer")
    with pytest.raises(Refused, match="infisical-iac") as caught:
        ask(_HOSTNAME, host.send)
    assert caught.value.code == "refused.newer_tool"
    assert host.agents == [newer]


def test_python_is_installed_where_it_is_missing() -> None:
    sent: list[str] = []

    def send(command: str, stdin: str) -> str:
        sent.append(command)
        if "--install" in command:
            return json.dumps({"protocol": PROTOCOL, "answers": []})
        if "no python" in command:
            return "no python"
        there = any("--install" in each for each in sent)
        value = json.dumps({"protocol": PROTOCOL, "answers": [{"value": {}}]})
        return value if there else "absent"

    assert ask(_HOSTNAME, send) == {}
    assert " apt.sh 600 python3" in sent[2]


def test_an_old_python_is_refused() -> None:
    """Its version is checked before anything that it could not parse is imported."""
    with ZipFile(io.BytesIO(archive.build())) as built:
        main = built.read("__main__.py").decode()
    old = f"import sys; sys.version_info = (3, 9, 2)\n{main}"
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=True)
    with pytest.raises(Refused) as caught:
        agent._parse(done.stdout)
    assert caught.value.code == "refused.python"
    assert "3.9" in str(caught.value)


@pytest.mark.parametrize("answer", ["", "Killed", "[]", "{}"])
def test_a_missing_answer_is_an_error(answer: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        ask(_HOSTNAME, lambda command, stdin: answer)
    assert caught.value.code == "command.agent"


def test_an_answer_of_a_newer_agent_is_refused() -> None:
    newer = json.dumps({"protocol": PROTOCOL + 1, "answers": []})
    with pytest.raises(Refused) as caught:
        ask(_HOSTNAME, lambda command, stdin: newer)
    assert caught.value.code == "refused.newer_tool"


def test_the_agent_refuses_a_request_of_another_protocol() -> None:
    with pytest.raises(RuntimeError) as caught:
        serving.serve(Runner(), {"protocol": PROTOCOL + 1, "calls": []})
    assert caught.value.args[0].code == "refused.newer_tool"


@pytest.mark.parametrize(
    ("name", "changes"),
    [("files.write", False), ("files.append_entry", False), ("files.texts", True)],
)
def test_questions_change_nothing_and_changes_name_actions(name: str, changes: bool) -> None:
    call = {"name": name, "arguments": {}}
    request = {"protocol": PROTOCOL, "changes": changes, "calls": [call]}
    with pytest.raises(RuntimeError) as caught:
        serving.serve(Runner(), request)
    assert caught.value.args[0].code == "command.agent"


def test_a_call_that_fails_does_not_keep_the_others_from_their_answers() -> None:
    calls = [
        {"name": "system.lines", "arguments": {"command": "echo obviously-fake-secret; exit 1"}},
        {"name": "files.texts", "arguments": {"paths": 7}},
        {"name": "files.texts", "arguments": {"paths": ["/none"]}},
    ]
    answers = serving.serve(Runner(), {"protocol": PROTOCOL, "calls": calls})
    assert answers[0]["error"]["code"] == "command"
    assert answers[1]["error"]["code"] == "command.agent"
    assert answers[2] == {"value": {}}
    assert "obviously-fake-secret" not in json.dumps(answers)


def test_an_unexpected_error_is_described_without_its_text() -> None:
    try:
        raise ValueError("obviously-fake-secret")
    except ValueError as error:
        found = serving.describe(error)
    assert "ValueError" in found["message"]
    assert "obviously-fake-secret" not in str(found)


def test_questions_travel_on_standard_input_only(host: _Host) -> None:
    with pytest.raises(CommandFailed):
        ask(command_question("echo obviously-fake-secret; exit 1", list), host.send)
    assert not any("obviously-fake-secret" in command for command, _ in host.sent)
    assert "obviously-fake-secret" in host.sent[-1][1]


def test_values_keep_their_types_on_their_way(host: _Host) -> None:
    host.directory.mkdir()
    path = str(host.directory)
    both = together(
        lambda *values: values,
        question(files.states, paths=[path]),
        question(system.refused_schedules, schedules=["every now"]),
        command_question("echo 1; echo 2", lambda lines: [*map(int, lines)]),
    )
    states, refused, numbers = ask(both, host.send)
    assert isinstance(states[path], PathState)
    assert states[path].kind == "directory"
    assert refused == frozenset({"every now"})
    assert numbers == [1, 2]


def test_an_action_changes_the_host_and_outdates_the_answers(
    host: _Host, run: journal.Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspect(_HOSTNAME)
    monkeypatch.setattr(remote, "ctx_host", SimpleNamespace(isset=lambda: True))
    log = host.directory / "audit.jsonl"
    appended = question(files.append_entry, path=str(log), entry='{"event": "apply"}')
    perform(appended, doing="append")
    assert '"event": "apply"' in log.read_text()
    assert not run.answers


def test_an_action_that_fails_says_what_was_to_be_done() -> None:
    error = {"code": "command", "message": "another run is writing it", "remedy": ""}
    said = json.dumps({"protocol": PROTOCOL, "answers": [{"error": error}]})
    appended = question(files.append_entry, path="/none", entry="{}")
    with pytest.raises(CommandFailed) as caught:
        perform(appended, doing="append to the log", send=lambda command, stdin: said)
    assert caught.value.code == "command"
    assert "append to the log" in str(caught.value)
    assert "another run" in str(caught.value)


def test_a_run_queries_the_host_once_and_again_after_a_change(
    host: _Host, run: journal.Journal
) -> None:
    other = question(files.texts, paths=["/none"])
    inspect_ahead([_HOSTNAME, together(lambda *_: None, _HOSTNAME, other)])
    before = len(host.sent)
    assert inspect(other) == {}
    assert "/etc/hostname" in inspect(_HOSTNAME)
    assert len(host.sent) == before
    run.has_changed = True
    inspect(other)
    inspect(other)
    assert len(host.sent) == before + 2


def test_a_question_outside_of_the_look_ahead_is_sent_once(
    host: _Host, run: journal.Journal
) -> None:
    inspect(_HOSTNAME)
    before = len(host.sent)
    inspect(_HOSTNAME)
    assert len(host.sent) == before


def test_a_failure_in_the_look_ahead_is_raised_where_the_answer_is_needed(
    host: _Host, run: journal.Journal
) -> None:
    broken = command_question("echo no >&2; exit 1", list)
    inspect_ahead([broken, _HOSTNAME])
    assert "/etc/hostname" in inspect(_HOSTNAME)
    with pytest.raises(CommandFailed, match="no"):
        inspect(broken)
