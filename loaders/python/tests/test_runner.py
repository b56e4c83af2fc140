"""Test `python -m infisical_config -- COMMAND`."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from infisical_config.__main__ import child_environment, main
from tests import service
from tests.scripted import ScriptedServer, closing_server, eventually, listing

RUNNER = ("-m", "infisical_config")


def test_the_commands_own_status_is_kept(home: Path) -> None:
    done = service.run(home, *RUNNER, "--", "sh", "-c", 'echo "$A $NODE_ENV"; exit 7')
    assert (done.returncode, done.stdout, done.stderr) == (7, "value-of-a production\n", "")


def test_the_runner_dies_of_the_signal_that_killed_the_command(home: Path) -> None:
    done = service.run(home, *RUNNER, "--", "sh", "-c", "kill -KILL $$")
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command(number: signal.Signals, home: Path) -> None:
    script = f"trap 'exit 3' {number.name[3:]}; echo ready; while :; do sleep 0.02; done"
    with subprocess.Popen(
        service.command(*RUNNER, "--", "sh", "-c", script),
        cwd=home,
        env=service.environment(),
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            assert process.wait(5) == 3
        finally:
            process.kill()


def test_ctrl_c_during_loading_ends_the_runner(server: ScriptedServer, home: Path) -> None:
    server.scripts["login"] = [{"stall": "headers"}]
    with subprocess.Popen(
        service.command(*RUNNER, "--", "true"),
        cwd=home,
        env=service.environment(),
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert eventually(lambda: server.seen)
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=5)[1] == b""
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT


def test_another_environment_can_be_named_and_no_signal_is_ignored(
    server: ScriptedServer, home: Path
) -> None:
    grep = ("grep", "SigIgn", "/proc/self/status")
    done = service.run(home, *RUNNER, "--environment", "staging", "--", *grep)
    assert "environment=staging" in server.seen[1].path
    assert int(done.stdout.split()[1], 16) & 1 << (signal.SIGPIPE - 1) == 0


def test_a_missing_command_is_reported(home: Path) -> None:
    done = service.run(home, *RUNNER, "--", "no-such-command")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr.startswith("infisical-config: ")
    assert " no command no-such-command: " in done.stderr
    assert "PATH" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_command_that_cannot_be_run_is_reported(home: Path) -> None:
    (home / "script").write_text("")
    done = service.run(home, *RUNNER, "--", "./script")
    assert done.returncode == 126
    assert "./script can't be run (Permission denied)" in done.stderr


@pytest.mark.parametrize(
    "arguments", [(), ("--",), ("--nonsense", "--", "true"), ("echo", "--", "true"), ("echo",)]
)
def test_wrong_usage_is_reported_before_any_request(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    output, errors = capsys.readouterr()
    assert (end.value.code, output, len(errors.splitlines())) == (64, "", 1)
    assert "with-secrets [OPTIONS] -- COMMAND" in errors


def test_a_command_without_the_dashes_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["npm", "start"])
    assert "with-secrets -- npm" in capsys.readouterr().err


def test_doctor_fails_outside_a_service(tmp_path: Path) -> None:
    done = service.run(tmp_path, *RUNNER, "doctor")
    assert done.returncode == 78
    assert "WRONG address" in done.stdout


def test_doctor_asks_the_address_of_its_option_only(tmp_path: Path) -> None:
    home = service.directory(tmp_path, "http://127.0.0.1:1")
    with ScriptedServer(listed=[listing(A="1")]) as server:
        done = service.run(home, *RUNNER, "doctor", "--address", server.address)
    assert done.returncode == 0, done.stdout
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert ["ok", "address", f"{server.address}, from --address"] in lines


@pytest.mark.parametrize("content", ["[]", "x", '{"projects": "x"}', '{"allow": "X"}'])
def test_doctor_reports_a_malformed_file_although_the_address_is_known(
    content: str, tmp_path: Path
) -> None:
    (tmp_path / ".infisical.json").write_text(content)
    done = service.run(tmp_path, *RUNNER, "doctor", INFISICAL_DOMAIN="http://127.0.0.1:1")
    assert (done.returncode, done.stderr) == (78, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith("WRONG settings")
    assert ".infisical.json" in line


def test_help_prints_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("Usage: with-secrets [--override]")


def test_a_failed_start_has_its_own_status_and_runs_nothing(
    server: ScriptedServer, home: Path
) -> None:
    server.scripts["list"] = [listing()]
    done = service.run(home, *RUNNER, "--", "echo", "started")
    assert (done.returncode, done.stdout) == (78, "")
    assert " no secret in production /backend" in done.stderr


def test_a_connection_closed_before_the_request_is_an_error_and_not_a_death_by_a_signal(
    tmp_path: Path,
) -> None:
    """A proxy whose server is down closes connections, and writing to them raises SIGPIPE."""
    with closing_server() as address:
        home = service.directory(tmp_path / "service", address)
        done = service.run(home, *RUNNER, "--", "echo", "started")
    assert (done.returncode, done.stdout) == (75, "")
    assert address in done.stderr


def test_the_command_gets_the_environment_and_the_secrets_without_the_credential(
    server: ScriptedServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.scripts["list"] = [listing(A="infisical", B="b", PATH="x", LD_PRELOAD="x", N="\0")]
    monkeypatch.setenv("A", "own")
    warnings: list[str] = []
    child = child_environment(directory=home, warn=warnings.append)
    own = {name: value for name, value in os.environ.items() if name not in service.CREDENTIAL}
    assert child == {**own, "A": "own", "B": "b"}
    (warning,) = warnings
    withheld, not_set = warning.split("; ")
    assert withheld.startswith("withheld unless `allow` ")
    assert withheld.endswith(": LD_PRELOAD, PATH")
    assert not_set.startswith("not set, ")
    assert not_set.endswith(": N")


@pytest.mark.usefixtures("without_credential")
def test_the_command_gets_the_node_env_of_env_local_if_the_environment_has_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.env_local(home, "NODE_ENV=staging\n")
    assert child_environment(directory=home)["NODE_ENV"] == "development"
    monkeypatch.delenv("NODE_ENV")
    assert child_environment(directory=home)["NODE_ENV"] == "staging"


def test_a_secret_can_not_make_git_run_a_command(server: ScriptedServer, home: Path) -> None:
    """Git reads configuration from the environment too, and configuration can name commands."""
    subprocess.run(["git", "init", "--quiet", home], check=True)
    server.scripts["list"] = [
        listing(
            A="a",
            GIT_CONFIG_COUNT="1",
            GIT_CONFIG_KEY_0="core.fsmonitor",
            GIT_CONFIG_VALUE_0=f"touch {home}/ran; false",
        )
    ]
    git = ("--", "git", "status", "--short")
    done = service.run(home, *RUNNER, *git)
    assert done.returncode == 0
    assert not (home / "ran").exists()
    assert done.stderr.endswith("GIT_CONFIG_COUNT, GIT_CONFIG_KEY_0, GIT_CONFIG_VALUE_0\n")
    allowed = [f"--allow=GIT_CONFIG_{each}" for each in ("COUNT", "KEY_0", "VALUE_0")]
    service.run(home, *RUNNER, *allowed, *git)
    assert (home / "ran").exists()


def test_strict_mode_passes_only_allowed_names_to_the_command(home: Path) -> None:
    command = ("--", "sh", "-c", 'echo "$A,$B"')
    done = service.run(home, *RUNNER, "--strict", "--allow", "B", *command)
    assert (done.returncode, done.stdout) == (0, ",value-of-b\n")
    assert done.stderr.startswith("infisical-config: left out, ")
    assert done.stderr.endswith(": A\n")
    done = service.run(home, *RUNNER, *command, INFISICAL_STRICT="1")
    assert (done.returncode, done.stdout) == (78, "")
    assert "strict mode" in done.stderr
    assert "give required" in done.stderr


def test_infisical_wins_with_override(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "own")
    assert child_environment(directory=home, override=True)["A"] == "value-of-a"
