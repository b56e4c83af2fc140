"""Test `infisical-iac recovery-kit` and `restore`: a lost host is restored without a loss."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.agent import identities
from infisical_iac.agent.identities import revoke_client_secret
from tests.e2e import drilling, dying_script, giving_up, inspection, restoring
from tests.e2e.backing import count, sql
from tests.e2e.dying_script import KILLED
from tests.e2e.restoring import World, read_as
from tests.e2e.running import infisical_iac
from tests.staging.host import StagingHost

pytestmark = [pytest.mark.long, pytest.mark.real]

_CREDENTIALS = "/etc/infisical/credentials"
_BACKEND = f"{_CREDENTIALS}/backend.production.env"
_SECRETS = {"API_TOKEN": "obviously-fake-token"}
_GIVEN, _TOKEN = "GITHUB_API_TOKEN", "fa$ke 'github' token"
# For each file of credentials, the folder of the service and the secrets that it reads there.
_SERVICES = {
    _BACKEND: ("/backend", _SECRETS),
    f"{_CREDENTIALS}/python-service.production.env": (
        "/python-services",
        {"MODEL_KEY": "obviously-fake-key"},
    ),
}
# The old data are aside, and the new ones are not in their place.
_DYING = dying_script.program("agent/data", "_put_aside(runner, aside, {})")
_SWAPPED = 'work.keep(swapped=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")'
_MARK = "CREATE TABLE IF NOT EXISTS lived (id int); TRUNCATE lived; INSERT INTO lived VALUES (1)"


@pytest.fixture(scope="module")
def world(deployed_host: StagingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The host with a secret, whose snapshot is on another host, and a kit.

    Only the first deploy gets the value of a variable of Infisical.
    """
    store = StagingHost(f"{deployed_host.name}-store")
    store.down()
    store.up()
    directory = tmp_path_factory.mktemp("restore")
    made = restoring.world(deployed_host, store, directory, infisical_secrets=(_GIVEN,))
    made.deploy({_GIVEN: _TOKEN})
    for folder, secrets in _SERVICES.values():
        inspection.write_secrets(deployed_host, folder, secrets)
    made.make_kit()
    made.ok("backup", "now")
    yield made
    store.down()
    inspection.reset_stack(deployed_host)
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0


def test_status_asks_for_a_recovery_kit_only_while_one_is_due(world: World) -> None:
    assert world.rows()["Recovery kit"]["ok"]
    record = "/etc/infisical/recovery-kit.json"
    world.host.run(f"mv {record} /root/kept")
    row = world.rows()["Recovery kit"]
    world.host.run(f"mv /root/kept {record}")
    assert not row["ok"]
    assert row["text"].startswith("none ")
    assert "recovery-kit --help" in row["text"]


def test_a_kit_shows_no_secret_and_is_not_overwritten_without_force(world: World) -> None:
    file = world.directory / "kit.txt"
    text = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    record = world.host.run("cat /etc/infisical/recovery-kit.json").stdout
    log = world.host.run("cat /var/log/infisical-iac/audit.jsonl").stdout
    for name, value in inspection.secrets(world.host).items():
        assert value not in text + record + log, name
    refused = world.run("recovery-kit", "--recipient", "age1x", "--output", str(file))
    assert refused.returncode == 1
    assert file.read_text() == text


def test_a_lost_host_is_restored_from_kit_and_repository(world: World) -> None:
    before = restoring.files(world.host)
    credentials = {path: inspection.env_file(world.host, path) for path in _SERVICES}
    world.wipe()
    for refused, output in (
        (world.kit[:4], "nothing shows that this is the deployment's key"),
        ((*world.kit[:4], "--fingerprint", f"SHA256:{'x' * 43}"), "somebody else may have made it"),
    ):
        done = world.run("restore", "--yes", *refused)
        assert (done.returncode, output in done.stderr) == (1, True)
    there = world.host.run("ls -A /etc/infisical || true").stdout
    assert there == ""
    done = world.ok("restore", "--yes", *world.kit)
    assert "and the canary." in done.stderr
    assert "6 of 6 log in" in done.stderr
    assert "and can't be listed" in done.stderr
    assert restoring.files(world.host) == before
    for path, (folder, secrets) in _SERVICES.items():
        assert inspection.env_file(world.host, path) == credentials[path]
        assert read_as(world.host, credentials[path], folder) == secrets
    assert inspection.environment(world.host, _GIVEN) == [_TOKEN]
    assert world.run("plan").returncode == 0
    world.ok("verify")
    rows = world.rows()
    assert [name for name, row in rows.items() if not row["ok"]] == []
    entry = json.loads(world.ok("audit", "--last", "1", "--json").stdout)[0]
    assert (entry["event"], entry["outcome"]) == ("restore", "done")
    assert any(
        each.startswith("+ database infisical: ") and each.endswith("snapshot of store")
        for each in entry["changes"]
    )
    for value in inspection.secrets(world.host).values():
        assert value not in done.stdout + done.stderr + json.dumps(entry)


def test_restore_reports_secrets_revoked_since_the_snapshot_and_keeps_the_old_data(
    world: World,
) -> None:
    id = _secret_id(world.host)
    _revoke(world.host, id)
    inspection.write_secrets(world.host, "/backend", {"NEWER": "obviously-fake"})
    # The snapshot is older than these rotations.
    for key in ("database", "restic"):
        world.ok("keys", "rotate", key)
    due = world.rows()["Recovery kit"]["text"]
    assert "keys/postgres_password" in due
    assert "keys/restic_password" in due
    world.make_kit()
    died = world.run("restore", "--yes", program=_DYING)
    assert died.returncode == KILLED
    done = world.ok("restore", "--yes")
    assert "back and serve" in done.stderr
    assert f"client secret {id} of identity backend-production" in done.stderr
    assert read_as(world.host, inspection.env_file(world.host, _BACKEND), "/backend") == _SECRETS
    assert inspection.environment(world.host, _GIVEN) == [_TOKEN]
    (volume,) = _list_moved_volumes(world.host)
    assert f"docker volume rm {volume}" in done.stderr
    world.host.run(f"docker volume rm {volume} && rm -r /var/lib/infisical-restore/aside")
    assert world.run("plan").returncode == 0


def _secret_id(host: StagingHost) -> str:
    return host.run(f"sed -n 's/^# client secret \\([^ ]*\\).*/\\1/p' {_BACKEND}").stdout.strip()


def _revoke(host: StagingHost, id: str) -> None:
    with inspection.deployer(host) as client:
        organization = identities.organization_id(client)
        identity = identities.find(client, organization, "backend-production")
        assert identity is not None
        revoke_client_secret(client, identity.id, id)


def _list_moved_volumes(host: StagingHost) -> list[str]:
    return host.run(
        "docker volume ls --quiet --filter name=infisical_postgres_before"
    ).stdout.split()


@pytest.fixture
def living(world: World) -> Iterator[World]:
    """The world with data that are in no snapshot, and that the test must keep."""
    sql(world.host, _MARK)
    up = inspection.containers(world.host)
    yield world
    assert count(world.host, "lived") == "1"
    assert inspection.containers(world.host).keys() == up.keys()
    assert _list_moved_volumes(world.host) == []
    assert world.host.run("ls /var/lib/infisical-restore/aside || true").stdout == ""
    assert restoring.files(world.host)
    assert world.run("plan").returncode == 0
    sql(world.host, "DROP TABLE lived")
    giving_up.forget(world.host)


@pytest.mark.parametrize(
    ("change", "damage"),
    [
        ("rm $pack", "of it is missing: /"),
        ("truncate -s 3000 $pack", "of it is truncated: /"),
        ("printf X | dd of=$pack bs=1 seek=5000 conv=notrunc", "of it was altered: /"),
    ],
)
def test_a_damaged_snapshot_is_reported_with_its_damage(
    world: World, change: str, damage: str
) -> None:
    fetch = 'snapshot.fetch(runner, directory="/root/damaged", target="store", snapshot="latest")'
    with restoring.damage_pack(world.store, change):
        done = drilling.run_in_agent(world.host, fetch, "snapshot")
    assert done.returncode == 1
    assert damage in done.stderr


def test_a_missing_repository_is_reported_and_no_data_are_touched(living: World) -> None:
    started = inspection.containers(living.host)
    with restoring.damage_pack(living.store, f"rm -r {restoring.REPOSITORY}"):
        done = living.run("restore", "--yes")
    assert done.returncode == 1
    assert "store: " in done.stderr
    assert "data were not touched" in done.stderr
    assert inspection.containers(living.host) == started


def test_a_host_with_another_encryption_key_is_not_restored(living: World) -> None:
    key = "/etc/infisical/keys/encryption_key"
    kept = living.host.run(f"cat {key}").stdout
    living.host.run(f"printf 0123456789abcdef0123456789abcdef >{key}")
    try:
        refused = living.run("restore", "--yes", *living.kit)
        wrong = living.run("restore", "--yes")
    finally:
        living.host.run(f"cat >{key}", input=kept)
    assert "keys/encryption_key" in refused.stderr
    assert "than the kit" in refused.stderr
    assert "encryption key with fingerprint" in wrong.stderr
    assert wrong.returncode == refused.returncode == 1


def test_a_restore_that_fails_its_checks_is_rolled_back_with_all_writes(
    living: World, tmp_path: Path
) -> None:
    file = "/etc/infisical/admin.env"
    with giving_up.writing(living.host) as acknowledged:
        living.host.run(f"cp -p {file} /root/kept && sed -i 's/PASSWORD=./&x/' {file}")
        try:
            done = living.run("restore", "--yes")
        finally:
            living.host.run(f"mv /root/kept {file}")
    assert done.returncode == 1
    assert "administrator can't log in" in done.stderr
    assert "back and serve" in done.stderr
    assert acknowledged
    assert giving_up.lost_writes(living.host, acknowledged, done.stderr) == set()


def test_a_killed_restore_is_undone_by_the_command_that_the_plan_names(living: World) -> None:
    with giving_up.writing(living.host) as acknowledged:
        died = living.run("restore", "--yes", program=dying_script.program(*dying_script.LOADING))
        assert died.returncode == KILLED
        output = living.run("plan").stderr
        undone = living.ok("restore", "--undo").stdout
    assert "`infisical-iac restore --undo`" in output
    assert "data were not touched" in undone
    assert acknowledged
    assert giving_up.lost_writes(living.host, acknowledged, undone) == set()


def test_a_killed_undo_of_a_restore_is_completed(living: World) -> None:
    with giving_up.writing(living.host) as acknowledged:
        living.run("restore", "--yes", program=_DYING)
        died = living.run(
            *("restore", "--undo"),
            program=dying_script.program("agent/restore", "_files_of(work).bring_back()"),
        )
        assert died.returncode == KILLED
        undone = living.ok("restore", "--undo").stdout
    assert "back and serve" in undone
    assert acknowledged
    assert giving_up.lost_writes(living.host, acknowledged, undone) == set()


def test_undo_keeps_the_writes_that_the_restored_snapshot_acknowledged(living: World) -> None:
    host = living.host
    with giving_up.writing(host) as acknowledged:
        died = living.run(
            "restore", "--yes", program=dying_script.program("agent/restore", _SWAPPED)
        )
        assert died.returncode == KILLED, died.stderr
        host.run("cd /etc/infisical && docker compose up --detach --wait 2>&1; sleep 5")
        undone = living.ok("restore", "--undo")
    assert "back and serve" in undone.stdout
    assert "Kept: " in undone.stdout
    assert giving_up.named_volumes(undone.stdout) == giving_up.volumes(host) != set()
    assert giving_up.lost_writes(host, acknowledged, undone.stdout) == set()
    assert acknowledged - giving_up.serving(host)


def test_replace_keys_gives_a_deployed_host_the_keys_of_the_kit(world: World) -> None:
    before = restoring.files(world.host)
    inspection.reset_stack(world.host)
    world.ok("apply", "--yes", environment={_GIVEN: "another fake token"})
    refused = world.run("restore", "--yes", *world.kit)
    assert "--replace-keys" in refused.stderr
    own = restoring.files(world.host)
    failed = world.run("restore", "--yes", "--replace-keys", "--snapshot", "0ddba11", *world.kit)
    assert "no matching ID found" in failed.stderr
    assert "data were not touched" in failed.stderr
    assert restoring.files(world.host) == own
    assert inspection.environment(world.host, _GIVEN) == ["another fake token"]
    world.ok("restore", "--yes", "--replace-keys", *world.kit)
    assert restoring.files(world.host) == before
    assert inspection.environment(world.host, _GIVEN) == [_TOKEN]
    assert read_as(world.host, inspection.env_file(world.host, _BACKEND), "/backend") == _SECRETS
    assert world.run("plan").returncode == 0
