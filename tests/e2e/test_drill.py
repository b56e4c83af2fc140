"""Test drills: what they prove, that each fault is named, and that nothing live is touched."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from infisical_iac.core.units import agent_command
from infisical_iac.workspace import canary
from tests.e2e import backing, drilling, inspection, restoring
from tests.e2e.backing import LOCAL, sql, until
from tests.e2e.conftest import assert_converged
from tests.e2e.drilling import (
    STATE,
    UNIT,
    altered_snapshot,
    change_file,
    drill,
    last_drill,
    list_remains,
    observe,
)
from tests.e2e.running import infisical_iac
from tests.staging import stack
from tests.staging.host import StagingHost

pytestmark = pytest.mark.real

_VALUE = "obviously-fake-value"
_RESTORE = "/var/lib/infisical-restore/state"
# The column with the encrypted values, and another content for it.
_CIPHERTEXT = (
    ('"encryptedValue"', "decode(repeat('AA', 64), 'hex')")
    if stack.find_archive()
    else ("data", f'data || \'{{"value": "{"A" * 64}"}}\'')
)
# One project for all services, or one for each service and shared folder in each environment; plus
# two projects of this tool.
_PROJECTS = 2 + (9 if inspection.ISOLATION == "projects" else 1)
_SCRATCH = "docker ps --quiet --filter name=infisical-drill-{}-1 | grep -q ."


@pytest.fixture(scope="module")
def host(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host with a secret and no backup; both are removed after the tests."""
    backing.forget_backups(deployed_host)
    deployed_host.run(f"rm -f {STATE}/last.json")
    inspection.write_secrets(deployed_host, "/backend", {"DRILLED": _VALUE})
    yield deployed_host
    with inspection.deployer(deployed_host) as client:
        client.delete("/api/v4/secrets/DRILLED", json=inspection.place(client, "/backend"))
    backing.forget_backups(deployed_host)
    deployed_host.run(f"rm -f {STATE}/last.json")
    assert_converged(deployed_host)


@pytest.fixture(autouse=True)
def _live_containers_unchanged(host: StagingHost) -> Iterator[None]:
    """Assert that no live container was restarted, and that nothing of a drill is left."""
    before = inspection.containers(host)
    yield
    assert inspection.containers(host) == before
    assert list_remains(host) == ""


def _fails(host: StagingHost, facts: Sequence[str], *arguments: str) -> None:
    """Assert that a drill of `local` fails, with the facts in one sentence."""
    done = drill(host, *arguments)
    assert done.returncode == 1
    assert "Error: the drill failed: local: " in done.stderr
    assert [each for each in facts if each not in done.stderr] == []
    assert done.stderr.count("\n") == 1


def test_a_drill_without_a_snapshot_fails(host: StagingHost) -> None:
    backing.restic(host, "init")
    _fails(host, ["there is no snapshot"])
    text, ok = last_drill(host)
    assert not ok
    assert "local: " in text
    assert text.endswith("none yet")


def test_a_drill_reads_every_folder_of_the_latest_snapshot_and_leaks_no_secret(
    host: StagingHost,
) -> None:
    assert backing.now(host)[0].returncode == 0
    host.run(f"echo 'latest local' >{STATE}/request; systemctl start --no-block {UNIT}")
    with backing.collect_arguments(host) as arguments:
        until(host, _SCRATCH.format("infisical"))
        ports = host.run("docker ps --filter name=infisical-drill --format '{{ .Ports }}'").stdout
        networks = host.run(
            "docker network ls --quiet --filter name=infisical-drill | "
            "xargs docker network inspect --format '{{ .Internal }}'"
        ).stdout.split()
        busy = drill(host)
        until(host, f"! systemctl is-active --quiet {UNIT} && ! test -e {STATE}/running")
    assert ("->" in ports, networks) == (False, ["true", "true"])
    assert "a drill runs already" in busy.stderr
    text, ok = last_drill(host)
    record = drilling.record(host)
    assert (ok, record["login"], record["canary"]) == (True, "deployer", "alive")
    assert f"snapshot {record['snapshot']} of local" in text
    journal = host.run(f"journalctl --output=cat --unit {UNIT} --no-pager").stdout
    assert journal.count("The drill proved snapshot ") == 1
    metrics = host.run(f"cat {STATE}/metrics.prom").stdout
    assert "infisical_drill_run_success 1\n" in metrics
    assert f"infisical_drill_secrets {backing.count(host, 'secrets_v2')}\n" in metrics
    seen = journal + arguments[0] + text
    hidden = {**inspection.secrets(host), "secret": _VALUE}
    assert "infisical-drill" in seen
    assert [name for name, value in hidden.items() if value in seen] == []
    assert "eyJ" not in seen


def test_a_flipped_byte_in_the_repository_fails_the_drill_and_is_reported(
    host: StagingHost,
) -> None:
    change = "printf X | dd of=$pack bs=1 seek=5000 conv=notrunc"
    with restoring.damage_pack(host, change, LOCAL["repository"]):
        _fails(host, ["can't be read", "pack", "altered: /"])
    until(host, "! systemctl is-active --quiet infisical-drill-failed")
    loud = host.run("journalctl --output=cat --priority=err --no-pager").stdout
    assert re.search("drill.* on staging-", loud)
    entry = json.loads(infisical_iac(host.name, "audit", "--last", "1", "--json").stdout)[0]
    assert (entry["event"], entry["outcome"]) == ("drill", "failed")
    assert "infisical_drill_run_success 0\n" in host.run(f"cat {STATE}/metrics.prom").stdout


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ("truncate -s 3000 database.dump", ["dump is truncated", " 3000 of "]),
        (
            "printf X | dd of=database.dump bs=1 seek=5000 conv=notrunc 2>/dev/null",
            ["dump was altered", "SHA-256"],
        ),
        (drilling.says(".rows.projects = 77"), ["rows", f"projects {_PROJECTS} instead of 77"]),
        (
            drilling.says('.infisical = {version: "v9.9.9", image: "infisical/infisical:v9.9.9"}'),
            ["Infisical v9.9.9", "infisical/infisical:v9.9.9 is not on"],
        ),
        (
            drilling.says('.encryption_key = "0123456789abcdef"'),
            ["fingerprint 0123456789abcdef", "/etc/infisical/keys/encryption_key has "],
        ),
    ],
)
def test_a_snapshot_that_differs_from_its_manifest_fails_the_drill(
    host: StagingHost, change: str, facts: list[str]
) -> None:
    _fails(host, facts, "--snapshot", altered_snapshot(host, change))


def test_a_full_disk_fails_the_drill(host: StagingHost) -> None:
    host.run(
        f"cp {STATE}/compose.yaml /root/ && mount -t tmpfs -o size=64k tmpfs {STATE} && "
        f"cp /root/compose.yaml {STATE}/"
    )
    try:
        done = drill(host)
    finally:
        host.run(f"umount {STATE}")
    assert done.returncode == 1
    room = rf"local: the snapshot may take 2\d\d MB in {STATE}, which has 0 MB free: make room"
    log = r"`journalctl --unit infisical-drill\.service` on \S+ has the log"
    assert re.fullmatch(f"Error: the drill failed: {room}; {log}\n", done.stderr), done.stderr


def test_another_encryption_key_than_the_secrets_have_fails_the_drill(host: StagingHost) -> None:
    file = "/etc/infisical/.env"
    change = (
        f"sed -i 's/^ENCRYPTION_KEY=..../&/; s/^ENCRYPTION_KEY=..../ENCRYPTION_KEY=0000/' {file}"
    )
    with change_file(host, file, change):
        _fails(host, ["infisical does not start", "encryption key"])


def test_a_container_that_never_becomes_healthy_fails_the_drill(host: StagingHost) -> None:
    file = f"{STATE}/compose.yaml"
    dropin = f"/run/systemd/system/{UNIT}.d"
    command = agent_command("--drill", "run", 3)
    host.run(
        f"mkdir -p {dropin}; cat >{dropin}/bound.conf; systemctl daemon-reload",
        input=f"[Service]\nExecStart=\nExecStart={command}\n",
    )
    try:
        with change_file(host, file, f"sed -i 's/pg_isready/pg_never/' {file}"):
            _fails(host, ["postgres", "not get healthy", " within 3 s: "])
            _a_restore_that_begins_meanwhile_comes_first(host)
    finally:
        host.run(f"rm -r {dropin}; systemctl daemon-reload")


@contextmanager
def _restore_under_way(host: StagingHost, phase: str) -> Iterator[None]:
    """Mark a restore in this phase as under way while the context is open."""
    host.run(f"mkdir -p -m 700 $(dirname {_RESTORE}); echo 20261125T000000Z {phase} >{_RESTORE}")
    try:
        yield
    finally:
        host.run(f"rm {_RESTORE}")


def _a_restore_that_begins_meanwhile_comes_first(host: StagingHost) -> None:
    before = host.run(f"cat {STATE}/last.json").stdout
    host.run(f"systemctl start --no-block {UNIT}")
    until(host, _SCRATCH.format("postgres"))
    with _restore_under_way(host, "begun"):
        until(host, f"! systemctl is-active {UNIT} | grep -q activating")
    assert host.run(f"systemctl is-failed {UNIT}", check=False).stdout == "inactive\n"
    assert host.run(f"cat {STATE}/last.json").stdout == before


def test_a_drill_waits_for_a_restore_and_a_killed_drill_leaves_nothing(
    host: StagingHost,
) -> None:
    with _restore_under_way(host, "data"):
        refused = drill(host)
        assert "no drill was made" in refused.stderr
        assert "restore" in refused.stderr
        host.run(f"systemctl start --no-block {UNIT}")
        until(host, f"systemctl is-active {UNIT} | grep -q activating")
        assert host.run(f"sleep 1; ls {STATE}/running", check=False).returncode != 0
    until(host, _SCRATCH.format("postgres"))
    host.run(f"systemctl kill --kill-whom=all --signal=KILL {UNIT}")
    until(host, f"systemctl is-failed --quiet {UNIT}")
    assert drilling.record(host)["failure"].endswith("(killed KILL)")


def test_the_next_target_is_used_and_an_older_snapshot_is_read_as_the_administrator(
    host: StagingHost,
) -> None:
    conf, deployer = "/etc/infisical/backup/backup.conf", "/etc/infisical/deployer.env"
    host.run(
        "sed 's/=.*/=\\/nowhere/' /etc/infisical/backup/local.conf >/etc/infisical/backup/gone.conf"
    )
    try:
        with change_file(host, conf, f"sed -i 's/^TARGETS=.*/TARGETS=\"gone local\"/' {conf}"):
            host.run(f"cp -p {deployer} /root/newer; sed -i 's/SECRET=./&x/' {deployer}")
            done = drill(host)
    finally:
        host.run(f"mv /root/newer {deployer}; rm /etc/infisical/backup/gone.conf")
    assert done.returncode == 1
    assert "the drill failed: gone: " in done.stderr
    assert "snapshot of local" in done.stderr
    record = drilling.record(host)
    assert (record["login"], record["target"]) == ("administrator", "local")


def test_an_altered_canary_is_distinguished_from_a_missing_one(host: StagingHost) -> None:
    assert "canary='alive'" in observe(host)[0]
    inspection.set_canary(host, "dead")
    assert "the canary was altered" in observe(host)[1]
    inspection.set_canary(host, None)
    assert "canary='none'" in observe(host)[0]
    inspection.set_canary(host, canary.VALUE)
    assert "canary='alive'" in observe(host)[0]


def test_a_secret_that_cannot_be_decrypted_fails_the_drill(host: StagingHost) -> None:
    column, altered = _CIPHERTEXT
    sql(host, "CREATE TABLE kept AS SELECT * FROM secrets_v2")
    sql(host, f"UPDATE secrets_v2 SET {column} = {altered}")
    try:
        reason = observe(host)[1]
    finally:
        kept = f"{column} = kept.{column} FROM kept WHERE kept.id = secrets_v2.id"
        sql(host, f"UPDATE secrets_v2 SET {kept}")
        sql(host, "DROP TABLE kept")
    assert "can't be read: 500 " in reason
