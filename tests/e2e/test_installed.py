"""Test the installed tool on a machine without this clone: three commands deploy, and more follow.

The tests of a machine are in the order of a person's first days with it, and build on each other.
The server's Docker has a mirror of Docker Hub, which was set up there before. The package is not
published: the machine's package clients are configured to take a directory of wheels as index.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import every_command, installed
from tests.e2e.conftest import FirstDeploy, copy_first_host
from tests.e2e.installed import (
    CHANGED,
    EJECTED,
    KEPT,
    LATER,
    LATER_LINE,
    REPOSITORY_GIVEN,
    REPOSITORY_TYPED,
    SERVICES,
    WRITTEN,
    Server,
)
from tests.e2e.running import REPOSITORY
from tests.staging import wheels
from tests.staging.host import StagingHost
from tests.staging.operator import HOME, Done, OperatorMachine

_OLDEST = (3, 11)
_EMPTY = f"{HOME}/empty"
_TOOL = f"{HOME}/.local/share/uv/tools/{installed.PACKAGE}/bin/python"


@pytest.fixture(scope="module")
def host(first: FirstDeploy) -> Iterator[StagingHost]:
    """A host that has Docker without any image."""
    first.run.ok()
    with copy_first_host("e2e-installed", with_images=False) as copy:
        yield copy


@pytest.fixture(scope="module")
def server(host: StagingHost) -> Server:
    """A server whose Docker has a mirror with the official images."""
    return installed.prepare_server(host)


@pytest.fixture(scope="module")
def machine(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorMachine]:
    """An operator's machine, with uv and files of wheels only."""
    made = OperatorMachine("e2e-installed")
    made.up()
    installed.prepare(made, server)
    installed.release(made, server, tmp_path_factory.mktemp("release"))
    made.run("mkdir", _EMPTY, REPOSITORY_TYPED, REPOSITORY_GIVEN)
    yield made
    made.down()


@pytest.fixture(scope="module")
def later(
    machine: OperatorMachine, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A later release is published."""
    installed.release(machine, server, tmp_path_factory.mktemp("later"), LATER)


def _check(done: Done, *statuses: int) -> Done:
    assert done.returncode in (statuses or (0,)), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def _command(machine: OperatorMachine, *arguments: str, directory: str = REPOSITORY_TYPED) -> Done:
    return machine.run("infisical-iac", *arguments, directory=directory)


def _plan(machine: OperatorMachine, directory: str = REPOSITORY_TYPED) -> list[str]:
    done = _check(_command(machine, "plan", "--json", directory=directory), 0, 2)
    found = json.loads(done.stdout)
    assert found["blocked"] == []
    return [each["what"] for each in found["changes"]]


def test_a_check_needs_no_installation_and_no_terminal(machine: OperatorMachine) -> None:
    """A repository of services is checked before there is an Infisical."""
    project = f"{HOME}/checked/chainalign.yaml"
    machine.copy(REPOSITORY / "group_data" / "chainalign.yaml", project)
    check = ("check", "--offline", "--project-file", project)
    _check(installed.run_once(machine, *check, directory=f"{HOME}/checked"))
    machine.run(
        "sh", "-c", "echo API_KEY=obviously-fake >.env", directory=f"{HOME}/checked/backend"
    )
    found = installed.run_once(machine, *check, "--json", directory=f"{HOME}/checked")
    assert (found.returncode, "backend/.env" in found.stdout) == (2, True), found.stderr
    assert "obviously-fake" not in found.stdout + found.stderr


def test_three_commands_deploy(machine: OperatorMachine, host: StagingHost, server: Server) -> None:
    """Run the README's commands, with nothing between them; the server pulls images by digest."""
    shown = []
    for command in installed.read_first_deploy():
        status, output = machine.type(
            *command, directory=REPOSITORY_TYPED, answers=server.answers()
        )
        assert status == 0, output
        shown.append(output.replace("\r", ""))
    _, init, apply = shown
    assert server.fingerprint in init
    plan, _, run = apply.partition("Make these changes")
    assert "+ credentials backend.production" in plan
    # The run says how many of its changes no plan could know, and which became superfluous.
    planned = sum(int(found) for found in re.findall(r": (\d+) changes?\S*\n", plan))
    unplanned, superfluous = _number("[a-z]+ not in the plan", run), _number("[a-z]+ planned", run)
    assert _number("made in", run) - unplanned == planned - superfluous > 50, apply
    next_steps = run.partition("\nNext:\n")[2]
    for fact in ("http://127.0.0.1:8080", "/etc/infisical/admin.env", "recovery-kit"):
        assert fact in next_steps
    listed = host.run("docker inspect --format '{{.Config.Image}}' $(docker ps --quiet)").stdout
    assert {*listed.split()} == {f"{name}@{digest}" for name, digest in server.digests.items()}
    again = _check(_command(machine, "apply", "--yes", "--json"))
    assert json.loads(again.stdout)["changes"] == []


def _number(of: str, text: str) -> int:
    """Return how many changes a text says to be `of` some kind; 0 if it names none."""
    # A terminal wraps the notes.
    found = re.search(rf"(\d+) changes? {of}", " ".join(text.split()))
    return int(found[1]) if found else 0


def test_each_command_in_an_empty_directory_ends_with_one_sentence(
    machine: OperatorMachine,
) -> None:
    program = Path(every_command.__file__).read_text()
    done = _check(machine.run(_TOOL, "-", directory=_EMPTY, input=program))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) >= 35
    wrong = [
        each
        for each in answers
        if each[1] != 1 or each[3] or not installed.is_one_sentence(each[2])
    ]
    assert wrong == []
    assert machine.run("ls", "-A", directory=_EMPTY).stdout == ""


@pytest.mark.parametrize("client", ["uv", "pip", "pipx"])
def test_each_package_client_installs_the_tool_and_knows_the_newest_version(
    machine: OperatorMachine, later: None, client: str
) -> None:
    """An unreachable registry of images is not an error."""
    program = "infisical-iac" if client == "uv" else installed.install_with(machine, client)
    found = machine.run(program, "outdated", "--json", directory=REPOSITORY_TYPED)
    assert found.returncode == 2, found.stderr
    versions = {each["name"]: each for each in json.loads(found.stdout)["versions"]}
    tool = versions["infisical-iac"]
    assert (tool["pinned"], tool["newest"]) == (wheels.version(), LATER)
    assert versions["redis"]["newest"] == ""


def test_pyinfra_runs_by_the_pinned_version_and_finds_nothing_to_change(
    machine: OperatorMachine,
) -> None:
    pyinfra = ("pyinfra", "--yes", "--json", installed.INVENTORY, "deploy.py")
    ran = _check(installed.run_pinned(machine, *pyinfra, directory=REPOSITORY_TYPED))
    results = json.loads(ran.stdout)["results"]
    assert [each["name"] for each in results["operations"] if each["success"]] == []


def test_verify_runs_the_checks_that_the_wheel_has(machine: OperatorMachine) -> None:
    done = _check(_command(machine, "verify", "--json"))
    counts = json.loads(done.stdout)
    assert counts["failed"] == 0
    assert counts["passed"] > 100


def test_env_files_are_migrated(machine: OperatorMachine) -> None:
    plan = f"{REPOSITORY_TYPED}/migration.yaml"
    _check(_command(machine, "migrate", "scan", SERVICES), 0, 2)
    planning = ("migrate", "plan", SERVICES, "--output", plan, "--allow-literal-references")
    _check(_command(machine, *planning), 0, 2)
    installed.decide_to_skip(machine, plan)
    applied = _check(_command(machine, "migrate", "apply", plan))
    assert "byte for byte" in applied.stdout
    _check(_command(machine, "migrate", "verify", plan))


def test_check_compares_services_with_infisical(machine: OperatorMachine) -> None:
    """The `.env` files still exist, so `check` reports them."""
    found = _command(machine, "check", SERVICES, "--json")
    assert found.returncode == 2, found.stderr
    assert "python-services/.env" in found.stdout


def test_init_by_options_writes_the_same_deployment(
    machine: OperatorMachine, server: Server
) -> None:
    given = ("init", *server.options())
    written = _check(_command(machine, *given, directory=REPOSITORY_GIVEN))
    # The server has an Infisical already, to which `init` sends requests.
    assert "enforces privileges" in written.stdout
    for path in (*WRITTEN, installed.find_project_file(machine, REPOSITORY_TYPED)):
        typed = machine.read(f"{REPOSITORY_TYPED}/{path}")
        assert typed, path
        assert machine.read(f"{REPOSITORY_GIVEN}/{path}") == typed, path
    assert _plan(machine, REPOSITORY_GIVEN) == []


@pytest.mark.long
def test_a_later_release_shows_and_applies_its_changes(
    machine: OperatorMachine, later: None
) -> None:
    """The template that the user has ejected stays, and its difference is shown."""
    _check(_command(machine, "eject", EJECTED))
    _check(machine.run("uv", "tool", "upgrade", "infisical-iac"))
    assert LATER in _check(_command(machine, "--version")).stdout
    upgraded = _check(_command(machine, "init", "--upgrade", "--yes"))
    assert "pyproject.toml" in upgraded.stdout
    assert f"infisical-iac=={LATER}" in machine.read(f"{REPOSITORY_TYPED}/pyproject.toml")
    shown = _check(_command(machine, "plan"), 2)
    assert f"+{LATER_LINE}" in shown.stdout + shown.stderr
    assert f"eject {EJECTED} --keep-mine" in shown.stdout + shown.stderr
    assert CHANGED in shown.stdout
    assert KEPT not in shown.stdout
    _check(_command(machine, "apply", "--yes"))
    assert json.loads(_check(_command(machine, "verify", "--json")).stdout)["failed"] == 0
    _check(_command(machine, "migrate", "verify", f"{REPOSITORY_TYPED}/migration.yaml"))
    assert _command(machine, "check", SERVICES, "--json").returncode == 2
    _check(_command(machine, "eject", EJECTED, "--keep-mine"))
    again = _check(_command(machine, "apply", "--yes", "--json"))
    assert json.loads(again.stdout)["changes"] == []
    assert LATER_LINE not in again.stdout + again.stderr


def _pythons() -> dict[tuple[int, int], str]:
    """Return a program of each release of Python on this machine that the package supports."""
    names = [sys.executable, *(shutil.which(f"python3.{n}") or "" for n in range(11, 20))]
    names += map(str, Path.home().glob(".pyenv/versions/*/bin/python3"))
    found: dict[tuple[int, int], str] = {}
    code = "import json, sys; print(json.dumps(sys.version_info[:2]))"
    for name in filter(None, names):
        done = subprocess.run([name, "-c", code], capture_output=True, text=True)
        if done.returncode == 0:
            major, minor = json.loads(done.stdout)
            found.setdefault((major, minor), name)
    return {release: found[release] for release in sorted(found) if release >= _OLDEST}


_PYTHONS = _pythons()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this project."""
    return wheels.build(tmp_path_factory.mktemp("wheel"))


@pytest.mark.parametrize("release", _PYTHONS, ids=lambda release: ".".join(map(str, release)))
def test_package_installs_on_each_python(
    release: tuple[int, int], wheel: Path, tmp_path: Path
) -> None:
    """Only the releases that this machine has are tried: none is downloaded."""
    venv, uv = tmp_path / "venv", str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--python", _PYTHONS[release], venv], check=True)
    offline = ("--offline", "--no-index", "--find-links", str(wheels.wheelhouse(release)))
    command = [uv, "pip", "install", "--quiet", *offline, "--python", str(venv), str(wheel)]
    installation = subprocess.run(command, capture_output=True, text=True)
    assert installation.returncode == 0, installation.stderr
    for arguments in (("--help",), ("plan", "--help"), ("check", "--help")):
        program = [venv / "bin" / "infisical-iac", *arguments]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Usage: infisical-iac" in done.stdout
