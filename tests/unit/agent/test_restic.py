"""Test the agent's use of restic."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from infisical_iac.agent import restic
from infisical_iac.agent.runner import Output, Runner, explain
from tests.unit.agent.fake_runner import FakeRunner

_PASSWORD = "/etc/infisical/keys/restic_password"
_REFUSAL = "Fatal: wrong password or no key found\n"
_JSON_REFUSAL = (
    '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}\n'
)
_SUMMARY = '{"message_type":"summary","data_added":5,"snapshot_id":"0123456789abcdef"}\n'
_SNAPSHOTS = json.dumps([{"short_id": "01234567"}, {"short_id": "89abcdef"}])
_CONFIG = '{"version": 2, "id": "abcd"}'
_PLACE = "/var/lib/infisical-backup/work"

Call = tuple[str, ...]


def _split(words: Sequence[str]) -> Call:
    """Return the arguments of restic, without the options that apply to every call."""
    call = words[words.index("restic") + 1 :]
    given = (each for each in call if each not in ("--no-lock", "--json"))
    return tuple(given)


@dataclass(frozen=True)
class _Host(FakeRunner):
    """A host whose restic answers each call by the entry with its first arguments.

    A list has the answers to the first calls. `known` has the passwords that open the repository,
    by their files, with the ids of their keys.
    """

    restic: dict[str, Output | list[Output]] = field(default_factory=dict)
    known: dict[str, list[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        seconds: float = 0,
        environment: Mapping[str, str] = {},
    ) -> Output:
        call = _split(words)
        self.calls.append(" ".join(call))
        self.words.append(" ".join(words))
        self.environments.append(environment)
        for begin, found in self.restic.items():
            if self.calls[-1].startswith(begin):
                if isinstance(found, Output):
                    return found
                if found:
                    return found.pop(0)
        return self._change_keys(call)

    def _change_keys(self, call: Call) -> Output:
        match call:
            case ("--password-file", file, "key", "list"):
                ids = self.known.get(file.removeprefix(str(self.root)))
                if not ids:
                    return Output(12, errors=_JSON_REFUSAL)
                keys = [{"current": False, "id": "other"}, {"current": True, "id": ids[0]}]
                return Output(0, json.dumps(keys))
            case ("key", "add", "--new-password-file", file):
                self.known.setdefault(file.removeprefix(str(self.root)), []).append("added")
            case ("key", "remove", id):
                for file, ids in self.known.items():
                    self.known[file] = [each for each in ids if each != id]
        return Output(0)


@pytest.fixture
def host(tmp_path: Path) -> _Host:
    """A host with the target `box`, whose repository is known to it."""
    answers: dict[str, Output | list[Output]] = {
        "cat config": Output(0, _CONFIG),
        "backup": Output(0, f'{{"message_type":"status"}}\n{_SUMMARY}'),
        "snapshots": Output(0, _SNAPSHOTS),
    }
    made = _Host(tmp_path, restic=answers)
    made.write("/etc/infisical/backup/backup.conf", "KEEP='--keep-daily 7 --keep-weekly 4'\n")
    made.write("/etc/infisical/backup/box.conf", "REPOSITORY=/mnt/box\n")
    made.write(f"{_PLACE}/tags", "infisical-iac,version=v1\n")
    made.write(_PASSWORD, "obviously-fake")
    return made


def _list(runner: Runner) -> object:
    return restic.list_snapshots(runner, "box")


def _fetch(runner: Runner) -> None:
    restic.fetch(runner, "box", "latest", "/fetched")


def _save(runner: Runner) -> list[str]:
    return [*restic.save(runner, "box", _PLACE)]


def _refusal(use: Callable[[], object]) -> str:
    with pytest.raises(RuntimeError) as refused:
        use()
    return explain(refused.value)


_READS = pytest.mark.parametrize("use", [_list, _fetch])


@_READS
@pytest.mark.parametrize("errors", [_REFUSAL, _JSON_REFUSAL])
def test_a_wrong_password_is_reported_with_its_file(
    host: _Host, use: Callable[[Runner], object], errors: str
) -> None:
    host.restic.update({each: Output(12, errors=errors) for each in ("snapshots", "restore")})
    error = _refusal(lambda: use(host))
    assert "/mnt/box" in error
    assert _PASSWORD in error
    assert "`keys rotate restic`" in error


@_READS
@pytest.mark.skipif(not shutil.which("restic"), reason="restic is not installed")
def test_a_missing_repository_is_reported_with_the_command_that_makes_it(
    host: _Host, tmp_path: Path, use: Callable[[Runner], object]
) -> None:
    host.write("/etc/infisical/backup/box.conf", f"REPOSITORY={tmp_path}/missing\n")
    error = _refusal(lambda: use(Runner(tmp_path)))
    assert f"{tmp_path}/missing" in error
    assert "`infisical-iac backup now`" in error


def test_a_repository_that_never_opens_is_reported_with_the_last_refusal(host: _Host) -> None:
    """Recorded from restic 0.18, which retries without end on a bucket that does not exist."""
    host.write("/etc/infisical/backup/backup.conf", "ANSWER_SECONDS=15\n")
    retries = "".join(
        f"Stat(<config/>) returned error, retrying after {wait}: Stat: {refusal}\n"
        for wait, refusal in (("1.4s", "connection refused"), ("1m2.3s", "no such bucket"))
    )
    host.restic["snapshots"] = Output(124, errors=retries)
    error = _refusal(lambda: _list(host))
    assert error.endswith(": no such bucket")
    assert "15 s" in error
    assert host.words[-1].startswith("timeout --kill-after 20 15 restic ")


@pytest.mark.skipif(not shutil.which("timeout"), reason="timeout is not installed")
def test_a_restic_that_does_not_end_is_stopped(
    host: _Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = host.write("/bin/restic", "#!/bin/sh\nexec sleep 30\n", mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    host.write("/etc/infisical/backup/backup.conf", "ANSWER_SECONDS=1\n")
    assert "no answer within 1 s" in _refusal(lambda: _list(Runner(tmp_path)))


def _read_received(
    host: _Host, credentials: str, configuration: str = "REPOSITORY=/mnt/box\n"
) -> dict[str, str]:
    """Return the environment that restic gets, without empty variables."""
    host.write("/etc/infisical/backup/box.conf", configuration)
    host.write("/etc/infisical/backup/box.env", credentials)
    _list(host)
    return {name: value for name, value in host.environments[-1].items() if value}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("plain+/=._~-", "plain+/=._~-"),
        ("'$x `y` \"z\" \\n #'", '$x `y` "z" \\n #'),
        ('"it\'s $x"', "it's $x"),
        ("$(touch forged)", "$(touch forged)"),
        ("`touch forged`", "`touch forged`"),
        ("a=b=c", "a=b=c"),
        ("last-line-without-an-end", "last-line-without-an-end"),
    ],
)
def test_credentials_are_passed_to_restic_unchanged(host: _Host, written: str, value: str) -> None:
    end = "" if written.startswith("last") else "\n"
    found = _read_received(
        host, f"export AWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY={written}{end}"
    )
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("id", value)
    assert all(value not in words for words in host.words)


def test_the_file_of_a_target_gives_only_the_variables_of_a_login(host: _Host) -> None:
    found = _read_received(
        host,
        "touch forged\nAWS_REGION=x; touch forged\nRESTIC_PASSWORD_COMMAND=forged\nFORGED=x\n"
        "PATH=/forged\nREPOSITORY=/forged\nAWS_CONFIG_FILE=/forged\n",
        "REPOSITORY='/mnt/box'\ntouch forged\nSSH='ssh -p 23'\nRESTIC_CACHE_DIR=/forged\n",
    )
    assert found == {
        "AWS_REGION": "x; touch forged",
        "RESTIC_CACHE_DIR": f"{host.root}/var/cache/infisical-backup",
        "RESTIC_PASSWORD_FILE": f"{host.root}{_PASSWORD}",
        "RESTIC_REPOSITORY": "/mnt/box",
    }
    assert " --option sftp.command=ssh -p 23 " in host.words[-1]


def test_a_login_of_the_agents_own_environment_is_not_used(host: _Host) -> None:
    _list(host)
    assert host.environments[-1]["AWS_SESSION_TOKEN"] == ""


@pytest.mark.parametrize("password", ["fake|login", "fake&login", "fake@/:%login"])
def test_the_login_of_a_rest_server_is_escaped_and_no_argument_of_a_program(
    host: _Host, password: str
) -> None:
    found = _read_received(
        host,
        f"RESTIC_REST_USERNAME=host\nRESTIC_REST_PASSWORD='{password}'\n",
        "REPOSITORY=rest:https://backup.example.com/x\n",
    )
    address = urlsplit(found["RESTIC_REPOSITORY"].removeprefix("rest:"))
    assert (address.hostname, address.path, unquote(address.username or "")) == (
        "backup.example.com",
        "/x",
        "host",
    )
    assert unquote(address.password or "") == password
    assert all(password not in words for words in host.words)


def test_an_unknown_target_is_refused(host: _Host) -> None:
    assert "gone.conf" in _refusal(lambda: restic.list_snapshots(host, "gone"))


def test_a_snapshot_is_saved_in_its_folder_and_old_ones_are_removed(host: _Host) -> None:
    assert _save(host) == ["snapshot 01234567", "added 5", "snapshots 2"]
    assert f" env --chdir={host.root}{_PLACE}/snapshot restic " in host.words[2]
    assert host.calls == [
        "cat config",
        "unlock",
        "backup --tag infisical-iac,version=v1 .",
        "forget --tag infisical-iac --group-by  --keep-daily 7 --keep-weekly 4 --prune",
        "snapshots --tag infisical-iac",
    ]


def test_a_snapshot_is_reported_although_old_ones_can_not_be_removed(host: _Host) -> None:
    host.restic["forget"] = Output(11, errors="unable to create lock in backend: locked\nmore\n")
    lines = restic.save(host, "box", _PLACE)
    assert [next(lines), next(lines)] == ["snapshot 01234567", "added 5"]
    assert _refusal(lambda: next(lines)).endswith(": unable to create lock in backend: locked")


def test_a_repository_is_made_at_its_first_use_only(host: _Host) -> None:
    missing = Output(10, errors="Fatal: repository does not exist\n")
    host.restic["cat config"] = [missing, Output(0, _CONFIG)]
    _save(host)
    assert host.calls[:3] == ["cat config", "init", "cat config"]
    host.restic["cat config"] = missing
    error = _refusal(lambda: _save(host))
    assert "/mnt/box, which has backups, " in error
    assert host.calls.count("init") == 1


def test_another_repository_in_the_place_of_a_known_one_is_refused(host: _Host) -> None:
    _save(host)
    host.restic["cat config"] = Output(0, '{"id": "ef01"}')
    (record,) = host.path("/var/lib/infisical-backup/repositories").iterdir()
    assert record.read_text() == "abcd\n"
    assert f"/repositories/{record.name}" in _refusal(lambda: _save(host))
    assert host.calls[-1] == "cat config"


def test_the_record_of_a_repository_that_a_former_version_wrote_is_read(host: _Host) -> None:
    """Its name is the beginning of `echo /mnt/box | sha256sum`."""
    host.write("/var/lib/infisical-backup/repositories/7ef4cb9d9b1aba60", "ef01\n")
    assert "7ef4cb9d9b1aba60" in _refusal(lambda: _save(host))


def test_a_repository_with_another_password_gets_no_snapshot(host: _Host) -> None:
    host.restic["cat config"] = Output(12, errors=_REFUSAL)
    assert _PASSWORD in _refusal(lambda: _save(host))
    assert host.calls == ["cat config"]


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        ("/database.dump: write: no space left on device", "/fetched: make room"),
        ("/database.dump: open: no such file or directory", "is missing"),
        ("/database.dump: unexpected EOF", "is truncated"),
        ("/database.dump: ciphertext verification failed", "was altered: /database.dump"),
    ],
)
def test_the_first_file_that_can_not_be_read_says_why(host: _Host, error: str, fact: str) -> None:
    errors = f"ignoring error for {error}\nignoring error for /other: x\nFatal: There were 2 errors"
    host.restic["restore"] = Output(1, errors=errors)
    assert fact in _refusal(lambda: _fetch(host))


def _change(function: Any, suffix: str) -> Callable[[_Host], None]:
    return lambda host: function(host, target="box", file=f"{_PASSWORD}{suffix}")


_ADMIT, _DISMISS = _change(restic.admit, ".next"), _change(restic.dismiss, ".old")


def test_the_hosts_password_has_to_open_the_repository(host: _Host) -> None:
    host.known[_PASSWORD] = ["one"]
    restic.reach(host, target="box")
    host.known.clear()
    assert _PASSWORD in _refusal(lambda: restic.reach(host, target="box"))


def test_a_password_is_added_once(host: _Host) -> None:
    for _ in range(2):
        _ADMIT(host)
    assert host.known == {f"{_PASSWORD}.next": ["added"]}
    assert len([each for each in host.calls if each.startswith("key add")]) == 1


def test_a_password_that_does_not_open_after_it_was_added_is_reported(host: _Host) -> None:
    host.restic["key add"] = Output(0)
    assert "/mnt/box" in _refusal(lambda: _ADMIT(host))


def test_every_key_of_a_password_is_removed(host: _Host) -> None:
    host.write(f"{_PASSWORD}.old", "obviously-fake")
    host.known[f"{_PASSWORD}.old"] = ["one", "two"]
    _DISMISS(host)
    assert host.known == {f"{_PASSWORD}.old": []}


def test_a_password_without_a_file_is_not_removed(host: _Host) -> None:
    _DISMISS(host)
    assert host.calls == []


def test_a_lock_of_a_dead_process_does_not_keep_a_key(host: _Host) -> None:
    host.write(f"{_PASSWORD}.old", "obviously-fake")
    host.known[f"{_PASSWORD}.old"] = ["one"]
    host.restic["key remove"] = [Output(11, errors="Fatal: locked\n")]
    _DISMISS(host)
    assert host.calls[1:4] == ["key remove one", "unlock", "key remove one"]
    assert host.known[f"{_PASSWORD}.old"] == []


def test_an_error_that_is_no_refusal_of_the_password_changes_no_key(host: _Host) -> None:
    host.restic["--password-file"] = Output(1, errors='{"message":"no route\\nmore"}')
    assert _refusal(lambda: _ADMIT(host)) == "no route"
    assert len(host.calls) == 1
