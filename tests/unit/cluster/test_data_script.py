"""Who keeps the data of a cluster, and Patroni, asked and told."""

import pytest

from tests.unit.cluster.played_lead import CURL, Lead

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
    lead.write("curl", CURL).chmod(0o755)
    done = lead.run(*step)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    arguments, given = lead.changes()
    assert arguments.endswith(asked)
    assert "not-a-password" not in arguments
    assert given == 'user = "patroni:not-a-password"'


def test_a_node_whose_docker_stops_hands_the_primary_over(lead: Lead) -> None:
    lead.write("env", "PATRONI_PASSWORD=not-a-password\n")
    lead.write("curl", CURL).chmod(0o755)
    done = lead.run(of="hand-over")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    arguments, given = lead.changes()
    handed = '--request POST --data {"leader": "postgres-1"} http://127.0.0.1:8008/switchover'
    assert arguments.endswith(f"--max-time 15 {handed}")
    assert given == 'user = "patroni:not-a-password"'


def test_docker_stops_where_nobody_can_take_over(lead: Lead) -> None:
    lead.write("env", "PATRONI_PASSWORD=not-a-password\n")
    lead.write("curl", "#!/bin/sh\necho 'error: 412' >&2; exit 22\n").chmod(0o755)
    done = lead.run(of="hand-over")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
