"""Test that PostgreSQL, Patroni, Redis, its sentinels and etcd accept only TLS."""

import pytest

from tests.host.cluster.observed import Node

_CA = "/run/secrets/ca.crt"
# For each server: the container to connect from, the command without TLS, and the refusal.
_PLAIN = {
    "PostgreSQL": (
        "postgres",
        "PGSSLMODE=disable PGCONNECT_TIMEOUT=5 psql -h postgres-{n} -U infisical infisical -c ''",
        "no encryption",
    ),
    "a replication": (
        "postgres",
        "PGSSLMODE=disable PGCONNECT_TIMEOUT=5 psql -c IDENTIFY_SYSTEM "
        '"host=postgres-{n} user=replicator replication=true"',
        "no encryption",
    ),
    "Patroni": (
        "postgres",
        "curl --silent --show-error --max-time 5 http://postgres-{n}:8008/health",
        "curl: (",
    ),
    "Redis": ("redis", "timeout 5 redis-cli -h redis-{n} ping", "Error:"),
    "a sentinel": ("redis", "timeout 5 redis-cli -h sentinel-{n} -p 26379 ping", "Error:"),
    "etcd": (
        "postgres",
        "curl --silent --show-error --max-time 5 http://etcd-{n}:2379/version",
        "curl: (7)",
    ),
    "etcd's new port": (
        "postgres",
        "curl --silent --show-error --max-time 5 http://etcd-{n}:2381/version",
        "curl: (",
    ),
}
# For each server: the container to connect from, the command with TLS, and the answer.
_VERIFIED = {
    "PostgreSQL": (
        "postgres",
        f"PGSSLMODE=verify-full PGSSLROOTCERT={_CA} PGPASSWORD=$(sed -n s/^POSTGRES_PASSWORD=//p "
        "/run/secrets/env) psql -h postgres-{n} -U infisical -d infisical -XAtc "
        '"SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"',
        "TLSv1.3",
    ),
    "Patroni": (
        "postgres",
        f"curl --silent --cacert {_CA} --max-time 5 --output /dev/null --write-out "
        '"%{{http_code}}" https://postgres-{n}:8008/health',
        "200",
    ),
    "Redis": (
        "redis",
        f"timeout 5 redis-cli --tls --cacert {_CA} -h redis-{{n}} ping",
        "NOAUTH",
    ),
    "etcd": (
        "postgres",
        f"curl --silent --cacert {_CA} --cert /tmp/tls.pem --max-time 5 "
        "https://etcd-{n}:2381/health",
        '"health":"true"',
    ),
}


def _connect(node: Node, service: str, command: str, number: int) -> str:
    text = command.replace("{n}", str(number)).replace("{{", "{").replace("}}", "}")
    return node.inside(service, "sh", f"exec 2>&1\n{text} || true\n")


@pytest.mark.parametrize("what", _PLAIN)
def test_a_plain_connection_is_refused(data_nodes: list[Node], what: str) -> None:
    service, command, output = _PLAIN[what]
    answers = {
        node.name: _connect(data_nodes[0], service, command, node.member.number)
        for node in data_nodes
    }
    assert {name for name, answer in answers.items() if output not in answer} == set(), answers


@pytest.mark.parametrize("what", _VERIFIED)
def test_a_server_is_reached_by_tls_under_its_name(data_nodes: list[Node], what: str) -> None:
    service, command, output = _VERIFIED[what]
    answers = {
        node.name: _connect(data_nodes[0], service, command, node.member.number)
        for node in data_nodes
    }
    assert {name for name, answer in answers.items() if output not in answer} == set(), answers


@pytest.mark.parametrize("login", ["", "--cert /tmp/asked.pem"])
def test_etcd_refuses_callers_without_a_client_certificate(
    data_nodes: list[Node], login: str
) -> None:
    """Redis has a certificate of the same authority, but not one for a client of etcd."""
    ask = (
        f"curl --silent --show-error --cacert {_CA} {login} --max-time 5 https://etcd-1:2381/health"
    )
    if login:
        # Redis's image has no curl, and Redis is not in etcd's network.
        own = data_nodes[0].inside("redis", "cat /run/secrets/tls.pem")
        ask = f"cat >/tmp/asked.pem <<'PEM'\n{own}\nPEM\n{ask}; rm -f /tmp/asked.pem"
    answer = _connect(data_nodes[0], "postgres", ask, 1)
    assert "health" not in answer.replace("/health", "")
    assert "certificate" in answer


def test_standbys_replicate_by_tls(data_nodes: list[Node]) -> None:
    query = "SELECT count(*) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid) WHERE ssl"
    command = f"psql --username=infisical --dbname=postgres -XAtc '{query}'"
    counts = sorted(node.inside("postgres", command) for node in data_nodes)
    assert counts == ["0", "0", "2"]


def test_infisicals_connections_to_postgresql_use_tls(data_nodes: list[Node]) -> None:
    query = (
        "SELECT count(*) FILTER (WHERE NOT ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
        "WHERE client_addr IS NOT NULL AND client_addr <> $$127.0.0.1$$"
    )
    command = f"psql --username=infisical --dbname=postgres -XAtc '{query}'"
    assert {node.inside("postgres", command) for node in data_nodes} == {"0"}
