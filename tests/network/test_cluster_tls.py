"""Test the change of a cluster's databases to TLS, with rendered files and real programs."""

import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from infisical_iac.cluster.stack_plan import Level
from tests.network.data_nodes import NUMBERS, PASSWORD, DataNodes

_CA = "/run/secrets/ca.crt"
_LOGIN = ". /run/secrets/env; export REDISCLI_AUTH=$REDIS_PASSWORD; "
_CREATE = "CREATE TABLE written (number int)"


@pytest.fixture(scope="module")
def nodes() -> Iterator[DataNodes]:
    """Three nodes without running services, and the services' certificates."""
    # PostgreSQL's user can't enter pytest's directories.
    with tempfile.TemporaryDirectory(prefix="data-nodes-") as home:
        made = DataNodes(Path(home))
        try:
            made.up()
            yield made
        finally:
            made.down()


def _through_proxy(nodes: DataNodes, command: str = "set a b") -> str:
    ask = f"timeout 4 redis-cli --tls --cacert {_CA} -h haproxy {command}"
    return nodes.inside("redis-2", f"{_LOGIN}{ask}")


def _sql(nodes: DataNodes, statement: str, *, mode: str = "verify-full", at: int = 2) -> str:
    return nodes.inside(
        f"postgres-{at}",
        f"PGSSLMODE={mode} PGSSLROOTCERT={_CA} PGPASSWORD={PASSWORD} PGCONNECT_TIMEOUT=3 "
        f'psql -XqAt -h haproxy -U infisical -d infisical -c "{statement}"',
    )


def _whole(nodes: DataNodes, number: int) -> bool:
    ask = "curl --silent --max-time 3 ${REST:-http}://127.0.0.1:8008/cluster"
    output = nodes.inside(f"postgres-{number}", ask)
    return output.count('"streaming"') == 2 and '"leader"' in output


def _roll_out(nodes: DataNodes) -> None:
    """Restart one node after the other at a level, as cluster_rollout does, then HAProxy."""
    for number in NUMBERS:
        for service in (f"etcd-{number}", f"postgres-{number}"):
            nodes.stop(service)
        for service in (f"etcd-{number}", f"postgres-{number}"):
            nodes.start(service)
        nodes.until(lambda number=number: _whole(nodes, number), f"{number} is not back")  # type: ignore[misc]
    nodes.stop("haproxy")
    nodes.start("haproxy")


class Writer:
    """A client that writes throughout; `acknowledged` holds the writes that must not be lost."""

    def __init__(self, nodes: DataNodes) -> None:
        self.acknowledged: list[int] = []
        self.mode = "prefer"
        self._nodes, self._over = nodes, threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=20)

    def _write(self) -> None:
        number = 0
        while not self._over.wait(0.1):
            number += 1
            if _sql(self._nodes, f"INSERT INTO written VALUES ({number})", mode=self.mode) == "":
                self.acknowledged.append(number)


def test_redis_closes_its_plain_port_while_the_proxy_keeps_finding_the_master(
    nodes: DataNodes,
) -> None:
    nodes.level = Level.OFFERED
    for number in NUMBERS:
        nodes.start(f"redis-{number}")
        nodes.start(f"sentinel-{number}")
    nodes.start("haproxy")
    nodes.until(lambda: _through_proxy(nodes) == "OK", "HAProxy finds no master")
    plainly = f"{_LOGIN}redis-cli -h redis-1 ping"
    assert nodes.inside("redis-2", plainly) == "PONG"
    nodes.level = Level.REQUIRED
    for number in NUMBERS:
        nodes.stop(f"redis-{number}")
        nodes.stop(f"sentinel-{number}")
    for number in NUMBERS:
        nodes.start(f"redis-{number}")
        nodes.start(f"sentinel-{number}")
    # HAProxy still has its previous configuration.
    nodes.until(lambda: _through_proxy(nodes) == "OK", "HAProxy finds no master by TLS")
    nodes.stop("haproxy")
    nodes.start("haproxy")
    nodes.until(lambda: _through_proxy(nodes, "get a") == "b", "the written value is missing")


def test_redis_and_its_sentinels_refuse_a_plain_connection(nodes: DataNodes) -> None:
    """The sentinels start last: each asks the others for the master for ten seconds at most."""
    for port, name in (("6379", "redis-1"), ("26379", "sentinel-1")):
        asked = f"{_LOGIN}timeout 4 redis-cli -h {name} -p {port} ping"
        by_tls = asked.replace("redis-cli", f"redis-cli --tls --cacert {_CA}")
        nodes.until(partial(_answers, nodes, by_tls), f"{name} does not answer")
        assert "PONG" not in nodes.inside("redis-2", asked)


def _answers(nodes: DataNodes, asked: str) -> bool:
    return nodes.inside("redis-2", asked) == "PONG"


def test_a_client_without_a_password_can_only_ask_for_the_master(nodes: DataNodes) -> None:
    login = (
        f"redis-cli --tls --cacert {_CA} -h redis-1 --user haproxy --pass none --no-auth-warning"
    )
    assert nodes.inside("redis-2", f"{login} role").splitlines()[0] in ("master", "slave")
    for command in ("get a", "set a c", "config get requirepass", "acl list", "flushall"):
        assert nodes.inside("redis-2", f"{login} {command}").startswith("NOPERM"), command


def test_the_proxy_follows_when_the_sentinels_choose_another_master(nodes: DataNodes) -> None:
    def roles() -> list[str]:
        ask = f"{_LOGIN}redis-cli $CLI role"
        return [nodes.inside(f"redis-{n}", ask).partition("\n")[0] for n in NUMBERS]

    nodes.until(
        lambda: nodes.inside("redis-1", f"{_LOGIN}redis-cli $CLI role").count("redis-") == 2,
        "the first Redis is not followed by two",
    )
    assert roles() == ["master", "slave", "slave"]
    nodes.until(
        lambda: all(_knows_others(nodes, f"sentinel-{n}") for n in NUMBERS),
        "the sentinels do not know each other and both replicas",
    )
    nodes.kill("redis-1")
    nodes.until(lambda: _through_proxy(nodes) == "OK", "HAProxy finds no other master")
    nodes.start("redis-1")


def _knows_others(nodes: DataNodes, sentinel: str) -> bool:
    asked = f"{_LOGIN}redis-cli $CLI -p 26379 --raw sentinel master infisical"
    lines = nodes.inside(sentinel, asked).splitlines()
    known = dict(zip(lines[::2], lines[1::2], strict=False))
    return (known.get("num-slaves"), known.get("num-other-sentinels")) == ("2", "2")


def test_no_acknowledged_write_is_lost_during_the_change_to_tls(nodes: DataNodes) -> None:
    nodes.level = Level.OFFERED
    for number in NUMBERS:
        nodes.start(f"etcd-{number}")
        nodes.start(f"postgres-{number}")
    nodes.stop("haproxy")
    nodes.start("haproxy")
    nodes.until(lambda: _whole(nodes, 2), "PostgreSQL has no primary with two standbys", 90)
    nodes.until(lambda: _sql(nodes, _CREATE) == "", "no write succeeds")
    with Writer(nodes) as writer:
        for line in nodes.inside("etcd-1", "etcdctl member list").splitlines():
            member, _, name, *_ = line.split(", ")
            output = f"etcdctl member update {member} --peer-urls=https://{name}:2382"
            assert "updated" in nodes.inside("etcd-1", output)
        nodes.level = Level.USED
        _roll_out(nodes)
        # Infisical verifies the certificate at this level.
        writer.mode = "verify-full"
        nodes.level = Level.REQUIRED
        _roll_out(nodes)
        before = len(writer.acknowledged)
        nodes.until(lambda: len(writer.acknowledged) > before, "no further write succeeds")
    there: set[str] = set()

    def read() -> bool:
        lines = _sql(nodes, "SELECT number FROM written").splitlines()
        there.update(lines)
        return all(map(str.isdigit, lines))

    # On a busy machine the proxy may consider a server down, and end its sessions.
    nodes.until(read, "the written rows can't be read")
    assert set(map(str, writer.acknowledged)) - there == set()


@pytest.mark.parametrize(
    ("command", "fact"),
    [
        (
            f"PGPASSWORD={PASSWORD} PGSSLMODE=disable psql -h haproxy infisical infisical -c ''",
            "no encryption",
        ),
        (
            f"PGPASSWORD={PASSWORD} PGSSLMODE=disable psql -c IDENTIFY_SYSTEM "
            '"host=postgres-1 user=replicator replication=true"',
            "no encryption",
        ),
        ("curl --silent --show-error http://postgres-1:8008/cluster", "curl: ("),
        ("curl --silent --show-error http://etcd-1:2379/version", "curl: (7)"),
        ("curl --silent --show-error http://etcd-1:2381/version", "curl: ("),
        (f"curl --silent --show-error --cacert {_CA} https://etcd-1:2381/version", "certificate"),
    ],
)
def test_a_plain_or_unknown_caller_is_refused(nodes: DataNodes, command: str, fact: str) -> None:
    assert fact in nodes.inside("postgres-2", f"{command} 2>&1")


def test_etcd_accepts_postgresql_as_a_client_but_not_redis(nodes: DataNodes) -> None:
    own = "/run/secrets/tls.pem"
    login = f"ETCDCTL_CACERT={_CA} ETCDCTL_CERT={own} ETCDCTL_KEY={own}"
    ask = "ETCDCTL_ENDPOINTS=https://etcd-1:2381 etcdctl --command-timeout=2s endpoint health 2>&1"
    for service, known in (("postgres-2", True), ("redis-2", False)):
        output = nodes.inside(service, f"{login} {ask}")
        assert ("is healthy" in output) == known, output


def test_standbys_replicate_by_tls_and_one_takes_over_when_the_primary_dies(
    nodes: DataNodes,
) -> None:
    query = "SELECT count(*) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) WHERE ssl"
    nodes.until(lambda: _sql(nodes, query) == "2", "not both standbys follow by TLS")
    ask = (
        "curl --silent --output /dev/null --write-out '%{http_code}' $REST://127.0.0.1:8008/primary"
    )
    primary = next(n for n in NUMBERS if nodes.inside(f"postgres-{n}", ask) == "200")
    other = primary % len(NUMBERS) + 1
    nodes.kill(f"postgres-{primary}")
    write = "INSERT INTO written VALUES (0)"
    nodes.until(lambda: _sql(nodes, write, at=other) == "", "no standby takes over", 90)
