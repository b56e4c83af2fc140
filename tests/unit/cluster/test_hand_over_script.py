"""Test the script that hands the primary and the master over when Docker stops."""

import pytest

from tests.unit.cluster.fake_leader import CURL, Leader

_LOGIN = 'user = "patroni:not-a-password"'
# A redis-cli whose sentinel reports the master, and soon another one after a requested failover.
_REDIS_CLI = """
test "$REDISCLI_AUTH" = not-a-password || exit 1
shift 3
echo "$*" >>"$HOST/asked"
case $* in
"sentinel failover infisical") echo redis-1 >"$HOST/masters"; echo redis-2 >>"$HOST/masters" ;;
"sentinel get-master-addr-by-name infisical")
    # The reader may close the pipe after the first line.
    name=$(head -n 1 "$HOST/masters")
    test "$(wc -l <"$HOST/masters")" = 1 || sed -i 1d "$HOST/masters"
    echo "$name"; echo 6379 ;;
esac
"""


# A Patroni that answers each request with the next line of a file.
_PATRONI = """
cat >/dev/null
answer=$(head -n 1 "$HOST/tries"); sed -i 1d "$HOST/tries"
printf %s "$answer"
case $answer in *[!r]) exit 22 ;; esac
"""


@pytest.fixture
def stopping_node(leader: Leader) -> Leader:
    """A node with the primary and the master, whose Docker is about to stop."""
    leader.write("env", "PATRONI_PASSWORD=not-a-password\nREDIS_PASSWORD=not-a-password\n")
    leader.program("curl", CURL)
    leader.program("redis-cli", _REDIS_CLI)
    leader.program("sleep")
    leader.program("systemctl", "echo 4711")
    leader.write("masters", "redis-1\n")
    return leader


def test_stopping_docker_hands_the_primary_over(stopping_node: Leader) -> None:
    done = stopping_node.run(of="hand-over")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    arguments, given = stopping_node.changes()
    handed = '--request POST --data {"leader": "postgres-1"} http://127.0.0.1:8008/switchover'
    assert arguments.endswith(f"--max-time 15 {handed}")
    assert given == _LOGIN


def test_the_hand_over_waits_for_a_standby_that_has_just_returned(stopping_node: Leader) -> None:
    stopping_node.program("curl", _PATRONI)
    refused = "no good candidates have been found\ncan not find sync_standby\n"
    stopping_node.write("tries", f"{refused}Successfully switched over\n")
    assert stopping_node.run(of="hand-over").stdout == "Patroni: Successfully switched over\n"
    assert (stopping_node.directory / "tries").read_text() == ""


def test_stopping_docker_hands_the_master_over_and_waits_for_the_new_one(
    stopping_node: Leader,
) -> None:
    assert stopping_node.run(of="hand-over").returncode == 0
    who = "sentinel get-master-addr-by-name infisical"
    asked = (stopping_node.directory / "asked").read_text().splitlines()
    assert asked == [who, "sentinel failover infisical", who, who]


def test_stopping_docker_keeps_a_master_on_another_node(stopping_node: Leader) -> None:
    stopping_node.write("masters", "redis-3\n")
    assert stopping_node.run(of="hand-over").returncode == 0
    assert "failover" not in (stopping_node.directory / "asked").read_text()


def test_a_crashed_engine_is_not_queried(stopping_node: Leader) -> None:
    stopping_node.program("systemctl", "echo 0")
    assert stopping_node.run(of="hand-over").returncode == 0
    assert stopping_node.changes() == []


def test_docker_stops_even_if_no_node_can_take_over(stopping_node: Leader) -> None:
    for program in ("curl", "redis-cli"):
        stopping_node.program(program, "echo 'error: nobody' >&2; exit 22")
    done = stopping_node.run(of="hand-over")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
