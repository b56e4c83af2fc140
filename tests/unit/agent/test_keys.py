"""Test the keys and passwords that the agent makes on the host, and what it finds wrong."""

import re
from pathlib import Path

import click
import pytest
import yaml

from infisical_iac.agent import keys
from infisical_iac.change.keys import KEYS
from infisical_iac.cli.keys import keys as keys_command
from infisical_iac.cluster.stack_file import SECRETS
from tests.host import stored
from tests.unit.agent.fake_runner import FakeRunner

_LENGTHS = {name: len(keys._make_key(name)) for name in keys.ALL_KEYS}
_EMAIL = "admin@example.com"


def _make(host: FakeRunner, *more: str, password: str = "") -> None:
    keys.make(host, admin_email=_EMAIL, admin_password=password, more=more, given={})


def _read(host: FakeRunner) -> dict[str, str]:
    return {each.name: each.read_text() for each in host.path("/etc/infisical/keys").iterdir()}


def test_each_key_has_its_length(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    _make(host)
    assert {name: len(text) for name, text in _read(host).items()} == {
        "encryption_key": 32,
        "auth_secret": 64,
        "postgres_password": 48,
        "redis_password": 48,
        "restic_password": 48,
        "kit_signing_key": 64,
    }
    admin = (host.text("/etc/infisical/admin.env") or "").splitlines()
    assert admin[0] == f"INFISICAL_ADMIN_EMAIL={_EMAIL}"
    assert re.fullmatch("INFISICAL_ADMIN_PASSWORD=[0-9a-f]{48}", admin[1])
    assert keys.check(host) == keys.KeysState(admin_email=_EMAIL)


def test_keys_and_a_password_are_made_once(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    _make(host, password="obviously-fake")
    before, admin = _read(host), host.text("/etc/infisical/admin.env")
    assert "INFISICAL_ADMIN_PASSWORD=obviously-fake\n" in str(admin)
    _make(host, password="another")
    assert (_read(host), host.text("/etc/infisical/admin.env")) == (before, admin)


# No command rotates this key: docs/operate/keys.md says how to replace it.
_NOT_ROTATED = "kit_signing_key"


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("KEYS of change/keys.py", {*(each.file for each in KEYS), _NOT_ROTATED}),
        ("KEYS of tests/host/stored.py", {*stored.KEYS}),
    ],
)
def test_each_list_of_keys_has_those_that_the_host_makes(place: str, names: set[str]) -> None:
    assert names == {*_LENGTHS}, place


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (
            "keys of bench/ansible/vars.yml",
            {*yaml.safe_load(Path("bench/ansible/vars.yml").read_text())["keys"]},
        ),
        (
            "templates/stack/compose.yaml.j2",
            {
                name.lower()
                for name in re.findall(
                    r"\$\{([A-Z_]+):\?\}", Path("templates/stack/compose.yaml.j2").read_text()
                )
            }
            & {*_LENGTHS},
        ),
        (
            "SECRETS of cluster/stack_file.py",
            {name for each in SECRETS.values() for name in each} & {*_LENGTHS},
        ),
    ],
)
def test_each_list_of_the_containers_keys_has_those_of_a_host(place: str, names: set[str]) -> None:
    assert names == {*stored.STACK_KEYS}, place


def test_the_help_and_the_page_name_each_key_that_can_be_rotated() -> None:
    rotate = keys_command.get_command(click.Context(keys_command), "rotate")
    page = Path("docs/operate/keys.md").read_text()
    rows = {line.split()[1] for line in page.splitlines() if line.startswith("| `")}
    listed = {line.split()[0] for line in page.splitlines() if line.startswith("    ")}
    assert [each.name for each in KEYS if f"`{each.name}`" not in str(rotate and rotate.help)] == []
    assert [each.name for each in KEYS if f"`{each.name}`" not in rows] == []
    assert [each.name for each in KEYS if each.name not in listed] == []


def test_the_passwords_for_metrics_are_made_on_request_and_surplus_later(tmp_path: Path) -> None:
    """Compose reads the password for Redis only; PostgreSQL's container doesn't need the other."""
    host = FakeRunner(tmp_path)
    names = ("metrics_postgres_password", "metrics_redis_password")
    _make(host, *names)
    made = _read(host)
    assert [len(made[name]) for name in names] == [48, 48]
    variables = host.text("/etc/infisical/.env") or ""
    assert f"METRICS_REDIS_PASSWORD={made[names[1]]}" in variables.splitlines()
    assert made[names[0]] not in variables
    assert keys.check(host, more=names).surplus == frozenset()
    assert keys.check(host).surplus == {*names}
    keys.forget(host, names=names)
    assert "METRICS" not in (host.text("/etc/infisical/.env") or "")
    assert keys.check(host).is_complete


def test_each_key_is_listed_by_its_problem(tmp_path: Path) -> None:
    host = FakeRunner(tmp_path)
    _make(host)
    for name, text in {
        "auth_secret": "",
        "encryption_key": "6c1fe4e407b8911c104518103505b218",
        "kit_signing_key": "no digits",
    }.items():
        host.write(f"/etc/infisical/keys/{name}", text)
    host.path("/etc/infisical/keys/redis_password").unlink()
    host.path("/etc/infisical/keys").chmod(0o755)
    host.path("/etc/infisical/credentials/a.env").touch(mode=0o640)
    host.path("/var/lib/infisical-backup/repositories").mkdir(parents=True)
    assert keys.check(host) == keys.KeysState(
        repositories=True,
        missing=frozenset({"auth_secret", "redis_password"}),
        sample=frozenset({"encryption_key"}),
        malformed=frozenset({"kit_signing_key"}),
        open=frozenset({"/etc/infisical/keys", "/etc/infisical/credentials/a.env"}),
        stale=frozenset({".env"}),
        admin_email=_EMAIL,
    )


@pytest.mark.parametrize(
    ("volume", "database", "replicas"),
    [
        ("none", False, False),
        ("infisical_postgres", True, False),
        ("infisical_patroni", True, True),
    ],
)
def test_replicas_imply_a_database(
    tmp_path: Path, volume: str, database: bool, replicas: bool
) -> None:
    host = FakeRunner(tmp_path)
    host.path(f"/var/lib/docker/volumes/{volume}").mkdir(parents=True)
    found = keys.check(host)
    assert (found.database, found.replicas) == (database, replicas)
    assert found.missing == {*keys.ALL_KEYS, "admin.env"}
