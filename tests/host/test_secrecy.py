"""Test that only root can read a key, a password or a client secret."""

import pytest

from infisical_iac.core.settings import Settings
from tests.host.connection import Connection, Host
from tests.host.containers import Inspected, Running
from tests.host.secrecy import (
    Secret,
    files_holding,
    lasting_files_holding,
    lines_holding,
    open_files_holding,
)
from tests.host.stored import EDGE_KEY, ROOT, confidential


@pytest.fixture(scope="session")
def hidden_secrets(secrets: dict[str, Secret]) -> list[Secret]:
    values = confidential(secrets)
    assert values
    return values


def test_the_search_finds_a_text_in_a_readable_file(connection: Connection) -> None:
    # Without this, the empty results of the tests below would prove nothing.
    everybodys = [Secret("vm.overcommit_memory = 1")]
    found = open_files_holding(everybodys, connection, ["/etc/sysctl.d"])
    assert found == ["/etc/sysctl.d/90-infisical-iac.conf"]


def test_the_search_finds_a_key_in_its_file(
    connection: Connection, secrets: dict[str, Secret], is_worker: bool
) -> None:
    key = [secrets["keys: auth_secret"]]
    found = files_holding(key, connection, [f"{ROOT}/keys"])
    assert found == ([] if is_worker else [f"{ROOT}/keys/auth_secret"])


def test_the_search_counts_lines(connection: Connection) -> None:
    assert lines_holding([Secret("needle")], connection, "printf 'a needle\\nhay\\n'") == 1


@pytest.mark.parametrize(
    "directory",
    ["/etc", "/var", "/root", "/home", "/tmp", "/run", "/dev/shm", "/opt", "/srv", "/usr/local"],
)
def test_no_file_readable_by_everybody_holds_a_secret(
    connection: Connection, hidden_secrets: list[Secret], directory: str
) -> None:
    assert open_files_holding(hidden_secrets, connection, [directory]) == []


@pytest.mark.parametrize("directory", ["/tmp", "/var/tmp", "/dev/shm"])
def test_no_temporary_file_holds_a_secret(
    connection: Connection, hidden_secrets: list[Secret], directory: str
) -> None:
    assert lasting_files_holding(hidden_secrets, connection, [directory]) == []


def test_no_shell_history_holds_a_secret(
    connection: Connection, hidden_secrets: list[Secret]
) -> None:
    assert files_holding(hidden_secrets, connection, ["/root/.*history", "/home/*/.*history"]) == []


def test_the_files_of_the_stack_hold_no_secret(
    connection: Connection, hidden_secrets: list[Secret]
) -> None:
    files = [f"{ROOT}/compose.yaml", f"{ROOT}/stack.yaml", f"{ROOT}/stack.json", f"{ROOT}/stack/"]
    assert files_holding(hidden_secrets, connection, files) == []


def test_no_process_has_a_secret_in_its_arguments(
    connection: Connection, hidden_secrets: list[Secret]
) -> None:
    command = "cat /proc/[0-9]*/cmdline"
    assert lines_holding(hidden_secrets, connection, command) == 0


@pytest.mark.parametrize("part", ["Labels", "Cmd", "Entrypoint", "Healthcheck"])
def test_no_configuration_of_a_container_holds_a_secret(
    connection: Connection, secrets: dict[str, Secret], hidden_secrets: list[Secret], part: str
) -> None:
    shown = [secrets[name] for name in [f"keys: {EDGE_KEY}"] if name in secrets]
    if part == "Labels" and shown:
        # The proxy in front of Caddy reads the key from the label. Any other user of Docker can
        # become root.
        hidden_secrets = [each for each in hidden_secrets if each.reveal() != shown[0].reveal()]
    command = (
        "docker ps --all --quiet | "
        f"xargs --no-run-if-empty docker inspect --format '{{{{json .Config.{part}}}}}'"
    )
    assert lines_holding(hidden_secrets, connection, command) == 0


def test_ordinary_users_can_not_read_the_environment_of_a_container(
    host: Host, running: dict[str, Running], any_service: str
) -> None:
    command = "setpriv --reuid=65534 --regid=65534 --clear-groups head -c 1 /proc/%s/environ"
    asked = [host.run(command % process) for process in running[any_service].processes]
    assert 0 not in [each.rc for each in asked]
    # Processes of a health check may have ended since.
    output = [each.stderr for each in asked if "No such file or directory" not in each.stderr]
    assert output
    assert [each for each in output if "Permission denied" not in each] == []


def test_the_log_of_a_container_holds_no_secret(
    connection: Connection,
    inspections: dict[str, Inspected],
    hidden_secrets: list[Secret],
    any_service: str,
) -> None:
    log = inspections[any_service]["LogPath"]
    assert log
    assert files_holding(hidden_secrets, connection, [f"{log}*"]) == []


def test_the_access_log_holds_no_secret(
    connection: Connection, settings: Settings, hidden_secrets: list[Secret]
) -> None:
    if not settings.stack.runs_caddy:
        pytest.skip(f"with ingress = {settings.stack.ingress} no access log is written")
    directory = "/var/log/infisical-access"
    files = [f"{directory}/access.log*", f"{directory}/live/access.log"]
    assert files_holding(hidden_secrets, connection, files) == []


def test_the_journal_of_the_last_week_holds_no_secret(
    connection: Connection, hidden_secrets: list[Secret]
) -> None:
    command = "journalctl --no-pager --output=export --since=-7days"
    assert lines_holding(hidden_secrets, connection, command) == 0
