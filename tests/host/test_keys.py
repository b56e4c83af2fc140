"""Test that the host's keys and passwords are complete, well formed, and closed to others."""

from typing import NamedTuple

import pytest

from infisical_iac.core.settings import Settings
from infisical_iac.workspace.credentials import path
from infisical_iac.workspace.model import ServiceAccount
from tests.host.connection import Connection, Host
from tests.host.secrecy import Secret
from tests.host.stored import CLUSTER_KEYS, EDGE_KEY, GIVEN, KEYS, ROOT, STACK_KEYS, confidential

pytestmark = pytest.mark.usefixtures("keeps_data")
each_key = pytest.mark.parametrize("name", KEYS)


class Entry(NamedTuple):
    kind: str
    mode: str
    owner: str


@pytest.fixture(scope="session")
def entries(host: Host) -> dict[str, Entry]:
    """All files and directories below /etc/infisical, by path."""
    lines = host.check_output(f"find {ROOT} -printf '%y %m %u:%g %p\\n'").splitlines()
    found = [line.split(" ", 3) for line in lines]
    return {path: Entry(kind, mode, owner) for kind, mode, owner, path in found}


@pytest.mark.parametrize("directory", [ROOT, f"{ROOT}/keys", f"{ROOT}/credentials"])
def test_a_directory_is_accessible_only_to_root(entries: dict[str, Entry], directory: str) -> None:
    assert entries[directory] == Entry("d", "700", "root:root")


@pytest.mark.parametrize("file", ["admin.env", "deployer.env", *(f"keys/{key}" for key in KEYS)])
def test_a_file_is_accessible_only_to_root(entries: dict[str, Entry], file: str) -> None:
    assert entries[f"{ROOT}/{file}"] == Entry("f", "600", "root:root")


def test_the_stacks_files_are_readable_only_by_root(
    entries: dict[str, Entry], settings: Settings
) -> None:
    if settings.cluster.topology == "swarm":
        made = ["stack.yaml", "stack.json", *(f"keys/{key}" for key in CLUSTER_KEYS)]
    else:
        made = [".env", "compose.yaml"]
    assert {entries[f"{ROOT}/{file}"] for file in made} == {Entry("f", "600", "root:root")}


def test_a_services_credentials_are_accessible_only_to_root(
    entries: dict[str, Entry], account: ServiceAccount
) -> None:
    assert entries[path(account)] == Entry("f", "600", "root:root")


def test_all_files_below_etc_infisical_are_accessible_only_to_root(
    entries: dict[str, Entry],
) -> None:
    proper = {Entry("d", "700", "root:root"), Entry("f", "600", "root:root")}
    assert {path: entry for path, entry in entries.items() if entry not in proper} == {}


def test_no_half_written_file_and_no_key_of_a_rotation_is_left(entries: dict[str, Entry]) -> None:
    assert [path for path in entries if path.endswith((".new", ".next", ".old"))] == []


def test_an_ordinary_user_can_not_list_the_directory(host: Host) -> None:
    listed = host.run(f"setpriv --reuid=65534 --regid=65534 --clear-groups ls {ROOT}")
    assert listed.rc != 0
    assert "Permission denied" in listed.stderr


@pytest.mark.parametrize(("name", "form"), KEYS.items())
def test_a_key_has_the_form_that_its_program_accepts(
    secrets: dict[str, Secret], name: str, form: str
) -> None:
    assert secrets[f"keys: {name}"].has_the_form(form)


@each_key
def test_a_key_is_not_a_sample_of_the_documentation(secrets: dict[str, Secret], name: str) -> None:
    assert not secrets[f"keys: {name}"].has_the_form("(6c1fe4e4|5lrMXKK).*")


def test_no_two_secrets_have_the_same_value(secrets: dict[str, Secret]) -> None:
    made = {
        name: secret
        for name, secret in secrets.items()
        if not name.endswith("CLIENT_ID") and not name.startswith(GIVEN)
    }
    assert made
    assert len(confidential(made)) == len(made)


@pytest.mark.single("a Swarm has its own secrets, which tests/host/cluster checks")
def test_the_variables_of_compose_equal_the_keys(
    connection: Connection, secrets: dict[str, Secret]
) -> None:
    lines = connection.quietly(f"cat {ROOT}/.env").splitlines()
    # The edge key is kept after an ingress behind another proxy was changed.
    optional = (EDGE_KEY, "metrics_redis_password")
    names = [name for name in (*STACK_KEYS, *optional) if f"keys: {name}" in secrets]
    derived = [f"{name.upper()}={secrets[f'keys: {name}'].reveal()}" for name in names]
    for name in (each for each in secrets if each.startswith(GIVEN)):
        quoted = secrets[name].reveal().replace("'", "\\'")
        derived += f"{name.removeprefix(GIVEN).upper()}='{quoted}'".splitlines()
    is_derived = sorted(lines) == sorted(derived)
    assert is_derived


def test_the_administrators_file_has_the_address_of_the_settings(
    host: Host, settings: Settings
) -> None:
    line = f"INFISICAL_ADMIN_EMAIL={settings.workspace.admin_email}"
    assert host.run(f"grep --quiet --line-regexp --fixed-strings %s {ROOT}/admin.env", line).rc == 0
