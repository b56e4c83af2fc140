"""Test `infisical-iac keys`: each key is replaced, also when runs are killed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.agent import identities
from infisical_iac.core.errors import ApiError
from tests.e2e import backing, dying_rotation, inspection, restoring
from tests.e2e.backing import LOCAL, inventory, restic, sql
from tests.e2e.conftest import assert_converged
from tests.e2e.dying_rotation import UNHEALTHY, program
from tests.e2e.dying_script import KILLED
from tests.e2e.running import Done, infisical_iac
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_SELF = "/api/v1/identities/details"
_SERVICE = "/etc/infisical/credentials/backend.production.env"
_REDIS = "docker exec -i infisical-redis-1 sh -c"


@pytest.fixture(scope="module", autouse=True)
def host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host without any backup, before and after these tests."""
    yield from backing.without_backups(deployed_host)


def _key(host: StagingHost, file: str) -> str:
    return host.run(f"cat /etc/infisical/keys/{file}").stdout


def _files(host: StagingHost) -> list[str]:
    return host.run("ls /etc/infisical/keys /var/lib/infisical-rotation").stdout.split()


def _dies(host: StagingHost, key: str, *points: str) -> None:
    done = infisical_iac(host.name, "keys", "rotate", key, "--yes", program=program(*points))
    assert done.returncode == KILLED, f"{points}: {done.stdout}{done.stderr}"


def _ok(host: StagingHost, *arguments: str, answer: str = "") -> Done:
    done = infisical_iac(host.name, *arguments, answer=answer)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def _serves(host: StagingHost) -> None:
    with inspection.deployer(host) as client:
        assert identities.organization_id(client)


def _lets_in(host: StagingHost, password: str) -> bool:
    """Return whether PostgreSQL takes a password over the network."""
    command = "IFS= read -r PGPASSWORD; export PGPASSWORD; psql -X -U infisical -h postgres -c ''"
    done = host.run(
        f'docker exec -i infisical-postgres-1 sh -c "{command.replace("$", chr(92) + "$")}"',
        input=f"{password}\n",
        check=False,
    )
    return done.returncode == 0


def test_a_rotation_of_the_database_key_killed_at_any_step_is_completed(host: StagingHost) -> None:
    old = _key(host, "postgres_password")
    sql(host, "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()")
    with backing.collect_arguments(host) as arguments:
        for point in dying_rotation.EARLY:
            _dies(host, "database", point)
            _serves(host)
        assert "~ unfinished rotation: database" in _plan(host)
        for point in dying_rotation.LATE:
            _dies(host, "database", point)
        done = _ok(host, "apply", "--yes")
    assert "new database key" in done.stderr
    new = _key(host, "postgres_password")
    assert (_lets_in(host, new), _lets_in(host, old)) == (True, False)
    log = host.run("docker logs infisical-postgres-1 2>&1").stdout
    sql(host, "ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()")
    assert "PASSWORD 'SCRAM-SHA-256$" in log
    assert "docker exec" in arguments[0]
    for password in (old, new):
        assert password not in log + arguments[0]
    _assert_converged(host)


def _plan(host: StagingHost) -> str:
    return infisical_iac(host.name, "plan").stdout


def _assert_converged(host: StagingHost) -> None:
    assert_converged(host)
    assert [name for name in _files(host) if re.search(r"\.(old|next|new)$|state", name)] == []


@pytest.mark.long
def test_a_rotation_killed_during_its_rollback_is_completed(host: StagingHost) -> None:
    old = _key(host, "redis_password")
    _redis(host, "SET kept obviously-fake")
    _dies(host, "redis", UNHEALTHY, "about to go back")
    _dies(host, "redis", "back")
    done = _ok(host, "keys", "rotate", "redis")
    assert "old redis key" in done.stderr
    assert "new redis key" in done.stdout
    assert "Recovery kit: " in done.stdout
    assert _key(host, "redis_password") != old
    assert _redis(host, "GET kept") == "obviously-fake"
    assert "WRONGPASS" in _redis(host, "PING", password=old)
    _assert_converged(host)


def _redis(host: StagingHost, command: str, password: str = "") -> str:
    """Return Redis' answer, with its own password unless another is given."""
    given = f"read -r REDISCLI_AUTH; export REDISCLI_AUTH; redis-cli {command} 2>&1"
    own = f"REDISCLI_AUTH=$REDIS_PASSWORD redis-cli {command}"
    shell = given if password else own
    return host.run(f"{_REDIS} '{shell}'", input=f"{password}\n").stdout.strip()


def test_a_new_auth_secret_ends_sessions_and_tokens_but_no_credentials(host: StagingHost) -> None:
    old = _key(host, "auth_secret")
    refused = infisical_iac(host.name, "keys", "rotate", "auth-secret", answer="n\n")
    assert "every session" in refused.stderr
    assert refused.returncode == 1
    with inspection.deployer(host) as before:
        back = program(UNHEALTHY)
        failed = infisical_iac(host.name, "keys", "rotate", "auth-secret", "--yes", program=back)
        assert "was given up" in failed.stderr
        assert "makes this check fail" in failed.stderr
        assert _key(host, "auth_secret") == old
        assert before.get(_SELF)
        _ok(host, "keys", "rotate", "auth-secret", answer="y\n")
        with pytest.raises(ApiError, match="invalid signature"):
            before.get(_SELF)
    assert _key(host, "auth_secret") != old
    _serves(host)
    restoring.read_as(host, inspection.env_file(host, _SERVICE), "/backend")
    with inspection.administrator(host):
        pass
    entry = json.loads(_ok(host, "audit", "--last", "1", "--json").stdout)[0]
    assert (entry["event"], entry["outcome"]) == ("keys", "done")
    _assert_converged(host)


@pytest.mark.long
def test_repositories_open_with_the_hosts_password_file_throughout_a_rotation(
    host: StagingHost, tmp_path: Path
) -> None:
    second = {"name": "second", "repository": "/var/backups/infisical-second"}
    own = inventory(tmp_path, backup_targets=(LOCAL, second))
    _ok(host, "backup", "now")
    restic(host, "init", second["repository"])
    _ok(host, "apply", "--yes", "-i", own)
    old = _key(host, "restic_password")
    refused = _without(host, second["repository"])
    assert refused.returncode == 1
    assert "second: " in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert _key(host, "restic_password") == old
    for point in dying_rotation.RESTIC:
        _dies(host, "restic", point)
        for target in (LOCAL, second):
            restic(host, "--no-lock cat config", target["repository"])
    done = _ok(host, "apply", "--yes", "-i", own)
    assert "new restic key" in done.stderr
    assert _key(host, "restic_password") != old
    host.run("cat >/root/old", input=old)
    for target in (LOCAL, second):
        keys = restic(host, "--no-lock --json key list", target["repository"])
        assert len(json.loads(keys)) == 1
    restic(host, "--no-lock dump latest manifest.json")
    forgotten = f"restic --no-lock --password-file /root/old --repo {second['repository']}"
    assert host.run(f"{forgotten} cat config", check=False).returncode != 0
    host.run("rm /root/old")
    _ok(host, "apply", "--yes")
    host.run(f"touch {backing.STATE}/repositories/0123456789abcdef")
    other = infisical_iac(host.name, "keys", "rotate", "restic")
    assert "repositories/0123456789abcdef" in other.stderr
    _assert_converged(host)


def _without(host: StagingHost, repository: str) -> Done:
    """Run a rotation while a repository is missing."""
    host.run(f"mv {repository} /root/away")
    try:
        return infisical_iac(host.name, "keys", "rotate", "restic")
    finally:
        host.run(f"mv /root/away {repository}")


def test_the_encryption_key_is_refused_and_all_keys_are_listed(host: StagingHost) -> None:
    refused = infisical_iac(host.name, "keys", "rotate", "encryption-key")
    assert "encryption key" in refused.stderr
    assert refused.returncode == 1
    listed = json.loads(_ok(host, "keys", "list", "--json").stdout)
    names = ["database", "redis", "restic", "auth-secret", "encryption-key"]
    assert [each["name"] for each in listed] == names
    assert {each["days"] for each in listed} == {0}
