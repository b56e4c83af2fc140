"""Test the commands that operate a cluster, from its first backup to its removal.

Each test continues where the one before ended; the last ones remove the cluster, and restore it.
"""

import hashlib
import json
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from pyrage.x25519 import Identity

from infisical_iac.backup.kit import open_sheet, read_text
from infisical_iac.backup.kit_keys import identities
from infisical_iac.change.keys import find_key
from tests.certificates import OwnAuthority
from tests.cluster.hosts import INVENTORY, Cluster
from tests.e2e import (
    backing,
    clusters,
    commanding,
    drilling,
    dying_script,
    giving_up,
    inspection,
    registries,
    upgrading,
)
from tests.e2e.backing import LOCAL, inventory
from tests.e2e.commanding import (
    digests,
    ok,
    on_each,
    opens,
    read_json,
    secrets,
    versions,
    wait_for_agreement,
)
from tests.e2e.conftest import FirstDeploy
from tests.e2e.drifts import DRIFTS
from tests.e2e.dying_script import KILLED
from tests.e2e.running import REPOSITORY
from tests.e2e.upgrading import ADDS, WAS
from tests.mail_server import MailServer
from tests.serving import serving
from tests.staging import stack

pytestmark = pytest.mark.cluster
_NAME = "e2e-commands"
_ACCESS = {
    "INFISICAL_BACKUP_BUCKET_ACCESS_KEY_ID": "obviously-fake-id",
    "INFISICAL_BACKUP_BUCKET_SECRET_ACCESS_KEY": "obviously/fake+secret",
}
_SECRETS = {f"KEY_{number}": f"obviously-fake-{number}" for number in range(20)}
# A shell reads them in the containers of Infisical.
_MAIL = "fa$ke 'mail' password"
_GIVEN, _TOKEN = "GITHUB_API_TOKEN", "fa$ke 'github' token"
_GIVEN_KEY = f"{commanding.KEYS}/given_github_api_token"
# The backup that `destroy` makes first is in another directory.
_COPIES = f"grep -rslF {shlex.quote(_TOKEN)} /etc /run /usr/local /var/lib/infisical* || true"
_CREDENTIALS = "/etc/infisical/credentials/backend.development.env"
_ROTATED = ("backend", "--env", "development")
_LOG = "/var/log/infisical-iac/audit.jsonl"
_OLD = "/root/old"
_SNAPSHOTS = f"ls {LOCAL['repository']}/snapshots 2>/dev/null | wc -l"
_PEOPLE = "\npeople:\n  ben@example.com:\n    production: {/backend: viewer}\n"
_PROOF = "Restore | Prove that people and machines can log in"
_GIVEN_UP = re.compile(r"in the database (infisical_given_up_\w+)")
_UNLOCKS = "docker swarm unlock-key --quiet | tr -d '\\n' | sha256sum"
_LEFT = (
    "docker ps --all --quiet; docker volume ls --quiet --filter name=infisical; "
    "docker network ls --quiet --filter name=infisical"
)
_REGISTRY = f"127.0.0.1:{registries.MIRROR}"
# By the setting, the image on the hosts, and its name in the registry. No official release has
# these versions, so no digest of one is added to them.
_PULLED = {
    "infisical_image": (f"{stack.INFISICAL}:{WAS}", f"infisical/infisical:{WAS}"),
    "postgres_image": (stack.POSTGRES, "library/postgres:17.999"),
    "redis_image": (stack.REDIS, "library/redis:8.999"),
    "caddy_image": (stack.CADDY, "library/caddy:2.999"),
    "patroni_image": (stack.PATRONI, "zalando/patroni:17.999"),
    "etcd_image": (stack.ETCD, "etcd-development/etcd:v3.5.999"),
    "haproxy_image": (stack.HAPROXY, "library/haproxy:3.2.999"),
}
_CONTAINERS = "docker ps --quiet --filter label=com.docker.stack.namespace=infisical | sort"
_RUNNING = f"{_CONTAINERS} | xargs docker inspect --format '{{{{.Config.Image}}}}'"
_DONE = [
    *("backup", "drill", "drill", "restore", "restore", "apply", "apply", "rollback"),
    *(
        "keys",
        "keys",
        "keys",
        "keys",
        "apply",
        "keys",
        "apply",
        "credentials",
        "rotation",
        "rotation",
    ),
    *("workspace", "workspace", "workspace", "recovery-kit"),
]


@pytest.fixture(scope="module")
def cluster(first: FirstDeploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three hosts with secrets, with backups in a directory of each and a shared bucket."""
    with clusters.fresh(first, _NAME) as staging:
        clusters.bare(staging)
        with backing.s3_server(backing.gateway(staging.hosts[0])) as url:
            bucket = {"name": "bucket", "repository": f"s3:{url}/backups/infisical"}
            directory = tmp_path_factory.mktemp("commands")
            own = inventory(
                directory,
                INVENTORY,
                backup_targets=(LOCAL, bucket),
                infisical_secrets=(_GIVEN,),
            )
            made = clusters.deploy_cluster(staging, own, {**_ACCESS, _GIVEN: _TOKEN})
            inspection.write_secrets(made.host(1), "/backend", _SECRETS)
            yield made


def test_each_node_backs_up_to_its_directory_and_the_leader_to_the_bucket_too(
    cluster: Cluster,
) -> None:
    assert secrets(cluster) == [_SECRETS] * 3
    saved = read_json(cluster, "backup", "now")["saved"]
    assert [(each["name"], each["snapshots"]) for each in saved] == [("local", 1), ("bucket", 1)]
    listed = read_json(cluster, "backup", "list")
    snapshots = {each["name"]: each["snapshots"] for each in listed}
    count = int(wait_for_agreement(cluster, commanding.SECRETS))
    for each in saved:
        (found,) = snapshots[each["name"]]
        assert (found["id"], found["secrets"]) == (each["snapshot"], count)
    before = on_each(cluster, _SNAPSHOTS)
    assert sorted(before) == ["0", "0", "1"], "only the leader made a backup"
    leader = cluster.leader()
    for number in cluster.numbers:
        ran = backing.ran(cluster.host(number))
        names = ["local", "bucket"] if number == leader else ["local"]
        assert ([each.name for each in ran.targets], ran.failure) == (names, "")
    assert on_each(cluster, _SNAPSHOTS) == [str(int(each) + 1) for each in before]


@pytest.mark.parametrize("target", ["local", "bucket"])
def test_a_drill_proves_the_snapshot_of_a_target(cluster: Cluster, target: str) -> None:
    (listed,) = (each for each in read_json(cluster, "backup", "list") if each["name"] == target)
    snapshot = max(listed["snapshots"], key=lambda each: each["at"])
    done = ok(cluster, "restore", "--drill", "--from", target)
    assert f": snapshot {snapshot['id']} of {target}, made at " in done.stdout
    assert f": {wait_for_agreement(cluster, commanding.SECRETS)} secrets in " in done.stdout
    assert "read as deployer" in done.stdout
    assert "the canary is intact" in done.stdout
    for number in cluster.numbers:
        assert drilling.list_remains(cluster.host(number)) == ""


def test_a_node_that_never_led_proves_its_own_snapshots(cluster: Cluster) -> None:
    """A request is served at once; the drills by timer begin 20 minutes apart."""
    number = next(each for each in cluster.numbers if each != cluster.leader())
    host = cluster.host(number)
    host.run(f"echo latest local >{drilling.STATE}/request; systemctl start {drilling.UNIT}")
    assert drilling.record(host)["failure"] == ""
    assert drilling.list_remains(host) == ""


def test_a_restore_recovers_changed_and_deleted_secrets(cluster: Cluster) -> None:
    commanding.alter(cluster, 2, change={"KEY_1": "fake-and-changed"}, delete="KEY_2")
    inspection.write_secrets(cluster.host(3), "/backend", {"SINCE": "obviously-fake"})
    changed = {**_SECRETS, "KEY_1": "fake-and-changed", "SINCE": "obviously-fake"}
    del changed["KEY_2"]
    assert secrets(cluster) == [changed] * 3
    assert wait_for_agreement(cluster, commanding.ASIDE) == "0"
    done = ok(cluster, "restore", "--yes", "--from", "bucket")
    assert "6 of 6 log in" in done.stderr
    assert secrets(cluster) == [_SECRETS] * 3
    assert wait_for_agreement(cluster, commanding.ASIDE) == "1"
    assert cluster.plan() == []
    _assert_given(cluster)


def _assert_given(cluster: Cluster) -> None:
    """Assert that all nodes and containers have the secret of the first deploy."""
    assert on_each(cluster, f"cat {_GIVEN_KEY}") == [_TOKEN] * 3
    assert commanding.environments(cluster, _GIVEN) == [{_TOKEN}] * 3


def test_a_restore_that_fails_after_its_swap_loses_no_acknowledged_write(
    cluster: Cluster,
) -> None:
    """A client writes behind the edge throughout, while the edge is closed."""
    program = (sys.executable, "-m", "tests.e2e.interrupting", _PROOF)
    with commanding.writing(cluster) as written:
        done = cluster.command("restore", "--yes", "--from", "bucket", program=program)
    assert done.returncode == 1, done.stdout + done.stderr
    (named,) = set(_GIVEN_UP.findall(done.stdout + done.stderr))
    served, kept = set(secrets(cluster)[0]), commanding.keys_of(cluster, named)
    assert written.acknowledged - served <= kept
    assert written.acknowledged & served
    assert written.acknowledged & kept
    assert written.closed, "no request got a Retry-After"
    assert wait_for_agreement(cluster, commanding.GIVEN_UP) == "1"
    assert cluster.plan() == []
    ok(cluster, "restore", "--yes", "--from", "bucket")
    assert secrets(cluster) == [_SECRETS] * 3
    assert wait_for_agreement(cluster, commanding.GIVEN_UP) == "1"


def test_an_upgrade_reaches_every_node_and_so_does_its_rollback(
    cluster: Cluster, tmp_path: Path
) -> None:
    for number in cluster.numbers:
        upgrading.make_later(cluster.host(number), ADDS)
    newer = inventory(tmp_path, cluster.inventory, infisical_version=ADDS)
    migrations = wait_for_agreement(cluster, commanding.MIGRATIONS)
    assert (versions(cluster), wait_for_agreement(cluster, commanding.ADDED)) == ([WAS] * 3, "0")
    done = ok(cluster, "apply", "--yes", inventory=newer)
    assert " 20 secrets " in done.stderr
    assert (versions(cluster), wait_for_agreement(cluster, commanding.ADDED)) == ([ADDS] * 3, "1")
    assert secrets(cluster) == [_SECRETS] * 3
    ok(cluster, "plan", inventory=newer)

    inspection.write_secrets(cluster.host(2), "/backend", {"NEWER": "obviously-fake"})
    assert secrets(cluster) == [{**_SECRETS, "NEWER": "obviously-fake"}] * 3
    (release,) = read_json(cluster, "rollback", "--list")
    _assert_a_killed_rollback_is_undone_without_a_loss(cluster, newer, release["release"])
    assert read_json(cluster, "rollback", "--list") == [release]
    assert (release["infisical"], str(release["migrations"])) == (WAS, migrations)
    done = ok(cluster, "rollback", "--confirm", release["release"], inventory=newer)
    assert f'Set infisical_version = "{WAS}"' in done.stdout
    assert (versions(cluster), wait_for_agreement(cluster, commanding.ADDED)) == ([WAS] * 3, "0")
    assert secrets(cluster) == [_SECRETS] * 3
    assert cluster.plan() == []


# A line of agent/cluster_upgrade.py.
_SWAPPED = 'work.keep(swapped=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")'


def _assert_a_killed_rollback_is_undone_without_a_loss(
    cluster: Cluster, newer: str, release: str
) -> None:
    """Kill a rollback after databases were swapped and Infisical started; the next undoes it."""
    program = dying_script.program("agent/cluster_upgrade", _SWAPPED)
    with commanding.writing(cluster) as written:
        died = cluster.command("rollback", "--confirm", release, inventory=newer, program=program)
        assert died.returncode == KILLED, died.stderr
        cluster.host(1).run("docker service scale infisical_infisical=3")
        time.sleep(3)
        done = ok(cluster, "apply", "--yes", inventory=newer)
    said = done.stdout + done.stderr
    assert f"Infisical {ADDS} serves again, with all data of 20" in said, said
    (named,) = set(_GIVEN_UP.findall(said))
    served, kept = set(secrets(cluster)[0]), commanding.keys_of(cluster, named)
    assert written.acknowledged - served <= kept
    assert written.acknowledged & served
    assert written.acknowledged & kept - served
    assert written.closed, "no request got a Retry-After"
    assert "NEWER" in served
    giving_up.forget(cluster.host(1))


@pytest.mark.parametrize("key", ["database", "redis", "restic", "auth-secret"])
def test_a_new_key_reaches_every_node_and_the_old_one_is_refused(
    cluster: Cluster, key: str
) -> None:
    file = f"{commanding.KEYS}/{find_key(key).file}"
    here = commanding.place(cluster, cluster.nodes()[0])
    on_each(cluster, f"cp {file} {_OLD}")
    (old,) = set(digests(cluster, file))
    snapshots = read_json(cluster, "backup", "list")
    if key in commanding.OPENED:
        assert opens(cluster, key, file) == [True] * 3
    done = ok(cluster, "keys", "rotate", key, "--yes")
    assert f"The new {key} key is in use" in done.stdout
    assert "old one is retired" in done.stdout
    (new,) = set(digests(cluster, file))
    assert new != old
    if key in commanding.OPENED:
        assert (opens(cluster, key, file), opens(cluster, key, _OLD)) == ([True] * 3, [False] * 3)
    assert commanding.read_statuses(cluster, here) == [403 if key == "auth-secret" else 200] * 3
    assert secrets(cluster) == [_SECRETS] * 3
    assert read_json(cluster, "backup", "list") == snapshots
    on_each(cluster, f"rm {_OLD}; ! ls {commanding.KEYS} | grep -E '[.](old|next|new)$'")


@pytest.fixture
def mail_server(cluster: Cluster, tmp_path: Path) -> Iterator[MailServer]:
    """A mail server with TLS on this machine, by an authority in `ca.pem` of the directory."""
    authority = OwnAuthority(tmp_path / "authority")
    address = backing.gateway(cluster.host(1))
    pair = authority.issue(address)
    server = MailServer(tmp_path / "mails", host=address, tls="starttls", user="mailer")
    server.password, server.certificate, server.key = _MAIL, pair.certificate, pair.key
    (tmp_path / "ca.pem").write_bytes(authority.ca.read_bytes())
    with serving(server):
        yield server


def test_a_given_secret_is_on_every_node_until_no_setting_uses_it(
    cluster: Cluster, mail_server: MailServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{commanding.KEYS}/given_smtp_password"
    smtp = {"host": mail_server.host, "port": mail_server.port, "user": "mailer"}
    mailing = inventory(
        tmp_path,
        cluster.inventory,
        smtp={**smtp, "from_address": "iac@example.com"},
        extra_ca=str(tmp_path / "ca.pem"),
    )
    monkeypatch.setenv("SMTP_PASSWORD", _MAIL)
    ok(cluster, "apply", "--yes", inventory=mailing)
    assert len(digests(cluster, key)) == 3
    assert commanding.environments(cluster, "SMTP_PASSWORD") == [{_MAIL}] * 3
    monkeypatch.delenv("SMTP_PASSWORD")
    assert "Nothing to change." in ok(cluster, "plan", inventory=mailing).stdout
    ok(cluster, "mail", "test", "ada@example.com", inventory=mailing)

    mail_server.password = f"{_MAIL} again"
    monkeypatch.setenv("SMTP_PASSWORD", mail_server.password)
    ok(cluster, "keys", "rotate", "smtp", inventory=mailing)
    assert len(set(digests(cluster, key))) == 1
    assert commanding.environments(cluster, "SMTP_PASSWORD") == [{mail_server.password}] * 3

    ok(cluster, "apply", "--yes")
    on_each(cluster, f"test ! -e {key}")
    assert commanding.environments(cluster, "SMTP_PASSWORD") == [set()] * 3
    _assert_given(cluster)
    assert cluster.plan() == []


def test_credentials_are_shown_and_replaced_on_every_node(cluster: Cluster) -> None:
    old = inspection.env_file(cluster.host(1), _CREDENTIALS)
    shown = ok(cluster, "credentials", "show", *_ROTATED).stdout.splitlines()
    assert dict(line.split("=", 1) for line in shown if line[0] != "#") == old
    new = _rotate(cluster)
    assert new["INFISICAL_CLIENT_SECRET"] != old["INFISICAL_CLIENT_SECRET"]
    assert [commanding.login_statuses(cluster, each) for each in (old, new)] == [[200] * 3] * 2
    last = _rotate(cluster, "--overlap", "0")
    # The refused login comes last, because three refusals lock an identity out.
    statuses = [commanding.login_statuses(cluster, each) for each in (last, new)]
    assert statuses == [[200] * 3, [401] * 3]


def _rotate(cluster: Cluster, *overlap: str) -> dict[str, str]:
    """Return the new credentials, which are the same on all hosts."""
    ok(cluster, "credentials", "rotate", *_ROTATED, *overlap)
    assert len(set(digests(cluster, _CREDENTIALS))) == 1
    return inspection.env_file(cluster.host(3), _CREDENTIALS)


def test_the_project_is_repaired_and_a_person_is_invited_and_removed(
    cluster: Cluster, tmp_path: Path
) -> None:
    drift = DRIFTS["folder deleted"]
    drift.cause(cluster.host(2))
    planned = cluster.command("workspace", "plan")
    assert (planned.returncode, planned.stdout.splitlines()) == (2, list(drift.plan))
    ok(cluster, "workspace", "apply", "--yes")
    assert ok(cluster, "workspace", "plan").stdout == "Nothing to change.\n"

    file = tmp_path / "workspace.yaml"
    file.write_text(f"{(REPOSITORY / 'group_data/chainalign.yaml').read_text()}{_PEOPLE}")
    joined = ok(cluster, "workspace", "apply", "--yes", "--project-file", str(file))
    assert " ben@example.com: https://" in joined.stdout + joined.stderr
    renewed = ok(cluster, "workspace", "invite", "--project-file", str(file), "ben@example.com")
    assert " ben@example.com: https://" in renewed.stdout
    pruned = read_json(cluster, "workspace", "apply", "--prune", "--yes")
    assert [each["what"] for each in pruned["changes"]] == ["person ben@example.com"]


@pytest.fixture(scope="module")
def kit(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options that give a restore a recovery kit of the cluster."""
    directory = tmp_path_factory.mktemp("kit")
    identity, file = directory / "identity.txt", directory / "kit.txt"
    made = Identity.generate()
    identity.write_text(f"{made}\n")
    to = ("--recipient", str(made.to_public()), "--identity", str(identity))
    signed_by = read_json(cluster, "recovery-kit", *to, "--output", str(file))["signed_by"]
    return ("--kit", str(file), "--identity", str(identity), "--fingerprint", signed_by)


def test_a_recovery_kit_holds_what_every_node_has(cluster: Cluster, kit: tuple[str, ...]) -> None:
    _, file, _, identity, *_ = map(Path, kit)
    files = open_sheet(read_text(file), identities(read_text(identity))).kit.files
    for path, text in files.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        assert digests(cluster, f"/etc/infisical/{path}") == [digest] * 3, path
    there = on_each(cluster, "cd /etc/infisical && ls keys/* credentials/*.env backup/*.env")
    assert set(there[0].split()) <= files.keys()
    key = hashlib.sha256(files["keys/swarm_unlock_key"].strip().encode()).hexdigest()
    assert on_each(cluster, _UNLOCKS) == [f"{key}  -"] * 3
    text = file.read_text()
    held = inspection.secrets(cluster.host(1))
    assert [name for name, value in held.items() if value in text] == []


def test_status_reports_a_healthy_cluster(cluster: Cluster) -> None:
    done = cluster.command("status", "--json")
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)
    found = {row["name"]: row["text"] for row in rows}
    # The status reports the writes given up by the failed restore and by the killed rollback.
    assert [row["name"] for row in rows if not row["ok"]] == ["Given up", "Given up"]
    assert found["Nodes"].startswith("3 of 3 ready and active; ")
    assert found["Nodes"].endswith(f"leader is {_NAME}-{cluster.leader()}")
    assert found["PostgreSQL"].startswith(f"primary on {_NAME}-{cluster.primary()}; synchronous")
    assert found["infisical"] == f"{stack.INFISICAL}:{WAS}: 3 of 3 healthy"
    for service in ("haproxy", "caddy"):
        assert found[service].endswith(": 3 of 3 healthy")
    assert found["etcd"] == "3 of 3 members healthy"
    assert f"2 replicas; 3 of 3 sentinels name {_NAME}-" in found["Redis"]
    assert re.fullmatch(rf"{_NAME}-3: .* kB to local(, bucket)?", found["Last backup"])
    assert "read as deployer" in found["Last drill"]
    assert "the canary is intact" in found["Last drill"]
    assert found["Drift"] == "none"


def test_the_audit_log_has_all_changes_and_no_secret(cluster: Cluster) -> None:
    # Twice as many entries are read, because some commands failed or were killed.
    log = read_json(cluster, "audit", "--last", str(2 * len(_DONE)))
    done = [each["event"] for each in log if each["outcome"] == "done"]
    assert done[-len(_DONE) :] == _DONE, " ".join(done)
    for number in cluster.numbers:
        host = cluster.host(number)
        text = host.run(f"cat {_LOG}").stdout
        held = inspection.secrets(host)
        assert [name for name, value in held.items() if value in text] == []
        host.run(f"cp -p {_LOG} /root/kept && sed -i '1s/begun/done/' {_LOG}")
        changed = cluster.command("audit")
        host.run(f"mv /root/kept {_LOG}")
        assert changed.returncode == 1
        assert f"line 2 of {_LOG} on {host.name} " in changed.stderr


def test_the_plan_after_all_commands_is_empty(cluster: Cluster) -> None:
    assert cluster.plan() == []
    assert cluster.deploy().ok().changed == []
    assert secrets(cluster) == [_SECRETS] * 3


def test_each_node_pulls_the_images_of_the_stack_by_their_digests(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The nodes' registries have the same images, as they would pull them from one registry."""
    first, *others = (cluster.host(number) for number in cluster.numbers)
    with ExitStack() as context:
        for each in (first, *others):
            context.enter_context(registries.run_all(each, mirrors=False))
        pinned = {
            setting: f"{_REGISTRY}/{name}@{registries.push(first, image, registries.MIRROR, name)}"
            for setting, (image, name) in _PULLED.items()
        }
        for each in others:
            registries.copy(first, each)
        # Only drills run it.
        running = set(pinned.values()) - {pinned["postgres_image"]}
        repository, _, digest = pinned["infisical_image"].rpartition(f":{WAS}")
        images = {**pinned, "infisical_image": repository, "infisical_version": f"{WAS}{digest}"}
        pulling = inventory(tmp_path, cluster.inventory, image_archives=(), **images)
        ok(cluster, "apply", "--yes", inventory=pulling)
        ok(cluster, "plan", inventory=pulling)
        assert secrets(cluster) == [_SECRETS] * 3
        ok(cluster, "keys", "rotate", "auth-secret", "--yes", inventory=pulling)
        assert [set(each.split()) for each in on_each(cluster, _RUNNING)] == [running] * 3
        _pulls_by_all_or_none(cluster, tmp_path, images)


def _pulls_by_all_or_none(cluster: Cluster, directory: Path, images: Mapping[str, str]) -> None:
    """Assert that an image that one node's registry lacks stops nothing on any node."""
    name = "library/redis:8.1000"
    # The pushed bytes are Caddy's, because the nodes have Redis by its digest already.
    digest = registries.push(cluster.host(1), stack.CADDY, registries.MIRROR, name)
    before = on_each(cluster, _CONTAINERS)
    changed = {**images, "redis_image": f"{_REGISTRY}/{name}@{digest}"}
    pulling = inventory(directory, cluster.inventory, image_archives=(), **changed)
    failed = cluster.command("apply", "--yes", inventory=pulling)
    assert failed.returncode == 1
    assert "has no such image" in failed.stderr
    assert on_each(cluster, _CONTAINERS) == before


def test_destroy_removes_the_cluster_from_all_hosts_after_a_backup(cluster: Cluster) -> None:
    ok(cluster, "backup", "now")
    name, nodes, primary = Path(cluster.inventory).stem, cluster.nodes(), cluster.primary()
    refused = cluster.command("destroy", "--volumes", "--confirm", "production")
    assert "'production' is not " in refused.stderr
    assert "nothing was done" in refused.stderr
    assert f"type {name}" in refused.stderr
    assert secrets(cluster) == [_SECRETS] * 3

    gone = ok(cluster, "destroy", "--volumes", "--confirm", name)
    assert on_each(cluster, "docker info --format '{{.Swarm.LocalNodeState}}'") == ["inactive"] * 3
    assert on_each(cluster, _LEFT) == [""] * 3
    assert on_each(cluster, "ls -A /etc/infisical 2>/dev/null || true") == [""] * 3
    assert on_each(cluster, _COPIES) == [""] * 3
    for node in nodes:
        with pytest.raises(httpx.ConnectError):
            node.ask("GET", "/api/status", 5.0)
    said = re.search(r"A backup is in (\S+) on (\S+):", gone.stdout)
    assert said, gone.stdout
    assert said[2] == f"{_NAME}-{primary}"
    assert cluster.host(primary or 0).run(f"head -c 5 {said[1]}/database.dump").stdout == "PGDMP"
    again = ok(cluster, "destroy", "--volumes", "--confirm", name)
    (line,) = again.stdout.splitlines()
    assert line.startswith("Nothing of Infisical ")
    assert line.endswith(f" {name}.")
    nothing = f"nothing is deployed on {', '.join(host.name for host in cluster.staging.hosts)}"
    assert nothing in cluster.command("status").stdout
    assert cluster.command("verify").stderr.startswith(f"Error: {nothing}")
    last = read_json(cluster, "audit", "--last", "1")[0]
    assert (last["event"], last["outcome"]) == ("destroy", "done")


def test_a_cluster_of_new_hosts_is_restored_from_a_kit_and_the_bucket(
    cluster: Cluster, kit: tuple[str, ...]
) -> None:
    done = ok(cluster, "restore", "--yes", "--from", "bucket", *kit)
    assert "6 of 6 log in" in done.stderr
    assert secrets(cluster) == [_SECRETS] * 3
    _assert_given(cluster)
    assert cluster.plan() == []
