"""The scripts of the stack on a Swarm: secrets of keys, what is not well, and what goes."""

import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from infisical_iac.rendering import script

# Answers with what the host's directory holds, and writes down what it is asked to change.
_DOCKER = """#!/bin/sh
case "$1 $2" in
"secret inspect") grep -qx "$3" "$HOST/secrets" 2>/dev/null ;;
"secret create") echo "secret create $5 $(cat)" >>"$HOST/changes" ;;
"secret ls" | "config ls") cat "$HOST/$1s" 2>/dev/null ;;
"secret rm" | "config rm") echo "$1 rm $3" >>"$HOST/changes" ;;
"node ls") echo id ;;
"node inspect") cat "$HOST/nodes" ;;
"service scale")
    echo "$*" >>"$HOST/changes"
    # A task that waits goes with the number that is wanted.
    sed -i "/^${4%%=*}[.][^.]*  Pending/d" "$HOST/tasks"
    ;;
"service rm") echo "$*" >>"$HOST/changes" ;;
"service ls")
    case $* in
    *--quiet*) echo id ;;
    *"{{ .Name }}") cat "$HOST/names" ;;
    *) cat "$HOST/services" ;;
    esac
    ;;
"service inspect") cat "$HOST/updates" ;;
"service ps") cat "$HOST/history" ;;
"service logs") test "$6" = t3 && cat "$HOST/log" ;;
"stack ps") cat "$HOST/tasks" ;;
"volume ls")
    case $* in
    *"label=com.docker.stack.namespace=infisical "*) grep "${7#name=}" "$HOST/volumes" ;;
    esac
    ;;
"volume rm" | "rm --force") echo "$*" >>"$HOST/changes" ;;
"ps --all")
    case $* in *--filter*) cat "$HOST/holding" && exit ;; esac
    echo "etcdid / infisical_etcd-1/ Up 2 hours"
    echo "pgid / infisical_postgres-1/ Up 2 hours"
    ;;
"exec pgid")
    case "$3 $*" in
    sh*)
        inside=$(echo "$5" | sed "s,/run/secrets,$HOST,")
        shift 5
        exec sh -c "$inside" "$@"
        ;;
    */config*) cat "$HOST/dynamic" "$HOST/patroni" ;;
    *) cat "$HOST/patroni" ;;
    esac
    ;;
"exec etcdid")
    case "$3 $4 $5" in
    "etcdctl get --print-value-only") cat "$HOST/leader" ;;
    "etcdctl endpoint health")
        test ! -e "$HOST/no-quorum" || exit 1
        case $* in *--cluster) cat "$HOST/health" ;; esac
        ;;
    "etcdctl member list") cat "$HOST/members" ;;
    "etcdctl member remove")
        echo "remove $6" >>"$HOST/changes"
        sed -i "/^$6,/d" "$HOST/members"
        ;;
    "etcdctl member add")
        echo "add $6 $7" >>"$HOST/changes"
        echo "c0de9, unstarted, , http://$6:2380, , false" >>"$HOST/members"
        ;;
    esac
    ;;
esac
"""
# What it is asked for, and what it reads.
_CURL = """#!/bin/sh
echo "$*" >>"$HOST/changes"
cat >>"$HOST/changes"
"""
SECRETS = "infisical_env:encryption_key,auth_secret redis_env:redis_password"
TEXT = "ENCRYPTION_KEY=not-a-key\nAUTH_SECRET=not-a-secret\n"
NAME = f"infisical_env_{sha256(TEXT.encode()).hexdigest()[:12]}"


class Lead:
    """A manager's `/etc/infisical` and a Docker that is played, below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.write("docker", _DOCKER).chmod(0o755)
        self.write("etc/keys/encryption_key", "not-a-key\n")
        self.write("etc/keys/auth_secret", "not-a-secret\n")
        self.write("etc/keys/redis_password", "not-a-password\n")
        self.write("nodes", "node n1 ready active\nnode n2 ready active\n")
        self.write("services", "infisical_infisical 2/2 (max 1 per node)\ninfisical_caddy 2/2\n")
        self.write("updates", "infisical_infisical completed\ninfisical_caddy none\n")
        self.write(
            "history",
            "t1 node1 Running 1 hour ago \nt2 node1 Rejected 2 seconds ago No such image: x\n"
            "t3 node2 Failed 9 seconds ago task: non-zero exit (1)\nt4 node2 Failed 1 day ago \n",
        )
        self.run_tasks(infisical=2, caddy=2)

    def write(self, path: str, text: str) -> Path:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run_tasks(self, waiting: str = "", **running: int) -> None:
        """Have so many tasks of services run, and one of `waiting` have no node."""
        lines = [
            f"infisical_{name}.{number} node{number} Running 2 hours ago\n"
            for name, many in running.items()
            for number in range(1, many + 1)
        ]
        self.write(
            "tasks", "".join(lines) + (f"{waiting}.9  Pending 2 hours ago\n" * bool(waiting))
        )

    def changes(self) -> list[str]:
        file = self.directory / "changes"
        return file.read_text().splitlines() if file.exists() else []

    def run(self, *step: str, of: str = "cluster-stack") -> subprocess.CompletedProcess[str]:
        command = script(of, *step)
        return subprocess.run(
            ["sh", "-c", command.replace("/etc/infisical", f"{self.directory}/etc")],
            env={"PATH": f"{self.directory}:{os.environ['PATH']}", "HOST": str(self.directory)},
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def lead(tmp_path: Path) -> Lead:
    return Lead(tmp_path)


def test_a_secret_is_named_after_what_it_holds_and_made_once(lead: Lead) -> None:
    done = lead.run("secrets", SECRETS)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    made = "\n".join(lead.changes())
    assert f"secret create {NAME} {TEXT}".strip() in made
    names = [line.split()[2] for line in lead.changes() if line.startswith("secret create")]
    lead.write("secrets", "".join(f"{name}\n" for name in names))
    lead.run("secrets", SECRETS)
    assert lead.changes() == made.split("\n")


def test_a_missing_key_makes_no_secret(lead: Lead) -> None:
    (lead.directory / "etc/keys/auth_secret").unlink()
    done = lead.run("secrets", SECRETS)
    assert done.returncode == 1
    assert "/keys/auth_secret is missing" in done.stderr
    assert lead.changes() == []


def test_the_look_tells_names_and_no_secret(lead: Lead) -> None:
    (lead.directory / "etc/keys/redis_password").unlink()
    lead.write("secrets", "").unlink()
    told = lead.run("state", SECRETS).stdout.splitlines()
    assert f"wanted infisical_env {NAME}" in told
    assert not [line for line in told if "redis_env" in line or "not-a-" in line]


@pytest.mark.parametrize(
    ("file", "old", "new", "unwell"),
    [
        ("services", "caddy 2/2", "caddy 2/2", ""),
        ("tasks", "infisical.2 node2 Running", "infisical.2 node2 Ready", "infisical_infisical: 1"),
        ("updates", "completed", "paused", "infisical_infisical: 2 of 2 run, update: paused"),
        ("updates", "completed", "rollback_completed", ""),
    ],
)
def test_the_wait_tells_what_does_not_run(
    lead: Lead, file: str, old: str, new: str, unwell: str
) -> None:
    text = (lead.directory / file).read_text()
    lead.write(file, text.replace(old, new))
    lead.write("log", "it can't go on\nwith not-a-secret\n")
    done = lead.run("wait", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == bool(unwell)
    if unwell:
        first, *rest = done.stdout.splitlines()
        assert first.startswith(unwell)
        assert rest == [
            "  node1 Rejected 2 seconds ago No such image: x",
            "  node2 Failed 9 seconds ago task: non-zero exit (1)",
            "  node2 Failed 1 day ago ",
            "  it can't go on",
        ]


def test_only_the_named_services_are_waited_for(lead: Lead) -> None:
    lead.run_tasks(caddy=2)
    lead.write("log", "")
    assert lead.run("wait", "0", "infisical_caddy").stdout == ""
    assert lead.run("wait", "0", "infisical_caddy", "infisical_infisical").stdout != ""


@pytest.mark.parametrize(("state", "waits"), [("ready active", True), ("down active", False)])
def test_a_task_without_a_node_is_waited_for_unless_a_node_is_away(
    lead: Lead, state: str, waits: bool
) -> None:
    lead.write("nodes", f"node n1 ready active\nnode n2 {state}\n")
    # What ran on a node that is down is still counted there.
    lead.write("services", "infisical_infisical 2/2 (max 1 per node)\n")
    lead.run_tasks(infisical=1, waiting="infisical_infisical")
    lead.write("log", "")
    assert bool(lead.run("wait", "0").stdout) is waits


@pytest.mark.parametrize(
    ("state", "running", "waits"),
    [("down active", 0, False), ("ready active", 0, True), ("down active", 1, True)],
)
def test_an_update_is_waited_for_unless_all_its_tasks_wait_for_a_node(
    lead: Lead, state: str, running: int, waits: bool
) -> None:
    lead.write("nodes", f"node n1 ready active\nnode n2 {state}\n")
    lead.write("services", f"infisical_etcd-2 {running + 1}/{running + 1}\n")
    lead.write("updates", "infisical_etcd-2 updating\n")
    lead.run_tasks(**{"etcd-2": running}, waiting="infisical_etcd-2")
    lead.write("log", "")
    assert bool(lead.run("wait", "0").stdout) is waits


def test_what_waits_for_a_node_is_tried_again_and_what_runs_goes_on(lead: Lead) -> None:
    lead.run_tasks(infisical=1, caddy=2, waiting="infisical_infisical")
    done = lead.run("anew")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert lead.changes() == [
        "service scale --detach infisical_infisical=1",
        "service scale --detach infisical_infisical=2",
    ]


def test_a_swarm_that_tells_of_no_service_is_not_well(lead: Lead) -> None:
    lead.write("services", "")
    assert lead.run("wait", "0").stdout == (
        "the Swarm does not answer: most of its managers have to be up\n"
    )


_LEADER = '{"name": "postgres-1", "role": "leader", "state": "running", "lag": 0}'
_STANDBY = '{"name": "postgres-2", "role": "sync_standby", "state": "streaming", "lag": 0}'
_STARTING = '{"name": "postgres-3", "role": "replica", "state": "starting"}'


def test_who_keeps_data_is_well_by_his_own_word(lead: Lead) -> None:
    lead.write(
        "health", "http://etcd-1:2379 is healthy: took\nhttp://etcd-2:2379 is unhealthy: x\n"
    )
    lead.write("patroni", f'{{"members": [{_LEADER}, {_STANDBY}, {_STARTING}], "scope": "x"}}')
    assert lead.run("data").stdout == "1 2\n"
    assert lead.run("again", "0", "1", "2").returncode == 0
    done = lead.run("again", "0", "1", "3")
    assert done.returncode == 1
    assert done.stderr == (
        "of etcd 1 are well, of PostgreSQL 2, and 1 and 3 have to be: see "
        "docs/cluster-runbooks.md\n"
    )


def test_where_nobody_keeps_data_nobody_is_waited_for(lead: Lead) -> None:
    lead.write("health", "").unlink()
    assert lead.run("data").stdout == "0 0\n"
    assert lead.run("again", "0", "0", "0").returncode == 0


def test_patroni_tells_its_configuration_and_its_members(lead: Lead) -> None:
    for kind in ("secrets", "configs"):
        lead.write(kind, "")
    lead.write("dynamic", '{"ttl": 20}\n')
    lead.write("patroni", f'{{"members": [{_LEADER}]}}\n')
    told = lead.run("state", "").stdout.splitlines()
    assert told[-2:] == ['patroni {"ttl": 20}', f'patroni {{"members": [{_LEADER}]}}']


def test_a_patroni_that_does_not_answer_tells_nothing(lead: Lead) -> None:
    for kind in ("secrets", "configs"):
        lead.write(kind, "")
    lead.write("dynamic", "\n")
    lead.write("patroni", "\n")
    done = lead.run("state", "")
    assert (done.returncode, "patroni" in done.stdout) == (0, False)


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        (
            ("configure", '{"ttl": 20}'),
            '--request PATCH --data {"ttl": 20} http://127.0.0.1:8008/config',
        ),
        (
            ("restart", "postgres-2"),
            '--request POST --data {"restart_pending": true} http://postgres-2:8008/restart',
        ),
    ],
)
def test_patroni_does_what_it_is_asked_by_a_password_that_is_no_argument(
    lead: Lead, step: tuple[str, ...], asked: str
) -> None:
    lead.write("env", "PATRONI_PASSWORD=not-a-password\n")
    lead.write("curl", _CURL).chmod(0o755)
    done = lead.run(*step)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    arguments, given = lead.changes()
    assert arguments.endswith(asked)
    assert "not-a-password" not in arguments
    assert given == 'user = "patroni:not-a-password"'


def test_only_secrets_and_configs_with_a_hash_in_their_name_go(lead: Lead) -> None:
    lead.write("secrets", "redis_env_0123456789ab\nredis_env_ffffffffffff\nsomebody-elses\n")
    lead.write("configs", "haproxy_cfg_0123456789ab\nhaproxy_cfg_eeeeeeeeeeee\n")
    kept, gone = (lead.write(f"etc/stack/haproxy_cfg_{12 * c}", "") for c in "0e")
    kept = kept.rename(kept.with_name("haproxy_cfg_0123456789ab"))
    lead.run("clean", "redis_env_0123456789ab", "haproxy_cfg_0123456789ab")
    assert (kept.exists(), gone.exists()) == (True, False)
    assert lead.changes() == [
        "secret rm redis_env_ffffffffffff",
        "config rm haproxy_cfg_eeeeeeeeeeee",
    ]


def test_a_replaced_node_gets_a_member_in_the_place_of_the_old_one(lead: Lead) -> None:
    lead.write(
        "members",
        "aa1, started, etcd-1, http://etcd-1:2380, http://etcd-1:2379, false\n"
        "bb2, started, etcd-2, http://etcd-2:2380, http://etcd-2:2379, false\n",
    )
    done = lead.run("member", "2", of="etcd")
    assert done.returncode == 0, done.stderr
    assert lead.changes() == [
        "remove bb2",
        "add etcd-2 --peer-urls=http://etcd-2:2380",
    ]


@pytest.mark.parametrize("numbers", [(), ("2",)])
def test_etcd_is_ended_before_its_data_go(lead: Lead, numbers: tuple[str, ...]) -> None:
    lead.write("names", "infisical_etcd-1\ninfisical_etcd-2\ninfisical_haproxy\n")
    done = lead.run("stop", *numbers, of="etcd")
    assert done.returncode == 0, done.stderr
    expected = numbers or ("1", "2")
    assert lead.changes() == [f"service rm infisical_etcd-{n}" for n in expected]


def test_the_rest_waits_until_etcd_has_a_primary(lead: Lead) -> None:
    lead.write("leader", "postgres-2\n")
    assert lead.run("led", "0", of="etcd").returncode == 0
    lead.write("leader", "")
    done = lead.run("led", "0", of="etcd")
    assert done.returncode == 1
    assert done.stderr.startswith("no PostgreSQL has become the primary within 0 s: see docs/")


def test_without_a_quorum_no_member_is_removed(lead: Lead) -> None:
    lead.write("no-quorum", "")
    done = lead.run("member", "2", of="etcd")
    assert done.returncode == 1
    assert "etcd has lost its quorum" in done.stderr
    assert lead.changes() == []


def test_a_node_that_comes_back_has_nothing_left_of_its_earlier_etcd(lead: Lead) -> None:
    lead.write("volumes", "infisical_etcd\ninfisical_patroni\ninfisical_etcd_copy\n")
    lead.write("holding", "aa1\nbb2\n")
    done = lead.run("forget", of="etcd")
    assert (done.returncode, done.stderr) == (0, "")
    assert lead.changes() == ["rm --force aa1 bb2", "volume rm --force infisical_etcd"]


def test_a_node_without_an_earlier_etcd_loses_nothing(lead: Lead) -> None:
    lead.write("volumes", "infisical_patroni\n")
    done = lead.run("forget", of="etcd")
    assert (done.returncode, done.stderr) == (0, "")
    assert lead.changes() == []
