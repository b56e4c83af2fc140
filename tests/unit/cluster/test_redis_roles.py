"""Test that Redis and sentinels start in the known role, with a private file."""

import re
import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.rendering import template
from tests.unit.fake_programs import DF, fake_program, run_with

_PASSWORD = "fake-redis-password"
# A sentinel's answer is in a file with its name; a sentinel without a file doesn't answer.
_REDIS_CLI = """
test "$REDISCLI_AUTH" = fake-redis-password || exit 1
test "$1" = --tls && shift 3
cat "$(dirname "$0")/$2" 2>/dev/null || { echo "Could not connect" >&2; exit 1; }
"""
# A redis-server that runs until a command ends it, and prints this command.
_REDIS_UNTIL_SHUTDOWN = """
for second in $(seq 100); do
    test -s "$HOST/shutdown" && cat "$HOST/shutdown" && exit
    /bin/sleep 0.1
done
echo "nothing ended it"
"""
# A redis-cli that replaces the file as a whole, because the server may read it at any time.
_REDIS_CLI_SHUTDOWN = """
case "$*" in
*shutdown*)
    echo "$REDISCLI_AUTH $*" >"$HOST/asked"
    mv "$HOST/asked" "$HOST/shutdown"
    ;;
esac
"""


class Node:
    """The directories of a container, with fakes of Redis's programs."""

    def __init__(self, root: Path):
        self.tls, self.root = 3, root
        self.data, self.programs, self.secret = root / "data", root / "bin", root / "env"
        self.data.mkdir()
        self.secret.write_text(f"REDIS_PASSWORD={_PASSWORD}\n")
        self.free = root / "free"
        self.free.write_text("1000000\n")
        self.program("redis-cli", _REDIS_CLI)
        self.program("redis-server", 'echo "$@"')
        self.program("df", DF)
        self.program("sleep", 'echo "$@" >>"$HOST/slept"\n/bin/sleep 0.01')

    def program(self, name: str, text: str) -> None:
        """Add a program to the container."""
        fake_program(self.programs, name, text)

    def answer(self, sentinel: str, master: str, epoch: int) -> None:
        """Make a sentinel report this master and configuration epoch."""
        lines = ("name", "infisical", "ip", master, "port", "6379", "config-epoch", str(epoch))
        (self.programs / sentinel).write_text("\n".join(lines) + "\n")

    def start(self, script: str, name: str) -> str:
        """Start `name` by a script of the stack; return the text of its configuration."""
        done = self.run(script, name)
        assert done.returncode == 0, done.stderr
        file = Path(done.stdout.split()[0])
        assert _PASSWORD not in done.stdout + done.stderr
        assert file.stat().st_mode & 0o777 == 0o600
        return file.read_text()

    def run(self, script: str, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the stack as `name`."""
        text = template(script, numbers=(1, 2, 3), redis_maxmemory_mb=192, tls=self.tls)
        text = text.replace("/run/secrets/env", str(self.secret)).replace("/data", str(self.data))
        text = text.replace("/run/secrets/tls.pem", "/dev/null")
        text = text.replace("/tmp/tls.pem", str(self.programs / "tls.pem"))
        return run_with(
            self.programs,
            text,
            script,
            *arguments,
            HOST=str(self.root),
            NAME=name,
            CLI="--tls --cacert ca.crt",
        )

    def start_redis(self, name: str) -> str:
        """Start the Redis `name`; return the master that it follows, empty if it is the master."""
        found = re.search(r"^replicaof (\S+) 6379$", self.start("redis.sh", name), re.MULTILINE)
        return found[1] if found else ""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(("name", "master"), [("redis-1", ""), ("redis-2", "redis-1")])
def test_redis_1_is_the_master_on_the_very_first_start(node: Node, name: str, master: str) -> None:
    assert node.start_redis(name) == master


@pytest.mark.parametrize(("name", "master"), [("redis-1", "redis-3"), ("redis-3", "")])
def test_a_redis_starts_in_the_role_that_the_sentinels_report(
    node: Node, name: str, master: str
) -> None:
    node.answer("sentinel-2", "redis-3", 4)
    (node.data / "redis.conf").write_text("replicaof redis-2 6379\n")
    assert node.start_redis(name) == master


def test_a_redis_follows_the_latest_decision_of_the_sentinels(node: Node) -> None:
    node.answer("sentinel-1", "redis-1", 9)
    node.answer("sentinel-2", "redis-2", 10)
    node.answer("sentinel-3", "redis-1", 9)
    assert node.start_redis("redis-1") == "redis-2"


@pytest.mark.parametrize(
    ("before", "master"), [("replicaof redis-3 6379\n", "redis-3"), ("dir /data\n", "")]
)
def test_without_a_sentinel_a_redis_keeps_its_role(node: Node, before: str, master: str) -> None:
    (node.data / "redis.conf").write_text(before)
    assert node.start_redis("redis-2") == master


def test_a_new_password_is_used_from_the_next_start(node: Node) -> None:
    (node.data / "redis.conf").write_text("requirepass old\nmasterauth old\n")
    text = node.start("redis.sh", "redis-1")
    assert f"requirepass {_PASSWORD}\nmasterauth {_PASSWORD}\n" in text
    assert "old" not in text


def test_a_sentinel_keeps_known_nodes_and_drops_old_passwords_and_users(node: Node) -> None:
    known = (
        "sentinel monitor infisical redis-2 6379 2\nsentinel myid 0123\n"
        "sentinel config-epoch infisical 5\nsentinel known-replica infisical redis-1 6379\n"
        "sentinel known-sentinel infisical sentinel-2 26379 4567\n"
    )
    stale = "requirepass old\nsentinel auth-pass infisical old\nuser default on nopass\n"
    (node.data / "sentinel.conf").write_text(stale + known)
    # Another sentinel has an older decision than this sentinel.
    node.answer("sentinel-2", "redis-1", 1)
    text = node.start("sentinel.sh", "sentinel-1")
    assert sorted(known.splitlines()) == sorted(set(text.splitlines()) & set(known.splitlines()))
    assert text.count("sentinel monitor ") == 1
    assert "old" not in text
    assert "nopass" not in text


def test_a_new_sentinel_asks_the_others_for_the_master(node: Node) -> None:
    node.answer("sentinel-3", "redis-2", 7)
    assert "monitor infisical redis-2 6379 2" in node.start("sentinel.sh", "sentinel-1")


def test_a_sentinel_that_was_down_takes_the_master_that_the_others_chose_meanwhile(
    node: Node,
) -> None:
    """The others answer only after two seconds, as the network does after a boot."""
    own = "sentinel monitor infisical redis-2 6379 2\nsentinel config-epoch infisical 5\n"
    (node.data / "sentinel.conf").write_text(own)
    node.answer("sentinel-3", "redis-1", 6)
    (node.programs / "sentinel-3").rename(node.root / "later")
    late = (
        f'test "$(wc -l <"$HOST/slept")" -lt 2 || cp {node.root}/later {node.programs}/sentinel-3'
    )
    node.program("sleep", f'echo "$@" >>"$HOST/slept"\n{late}\n')
    text = node.start("sentinel.sh", "sentinel-2")
    assert "sentinel monitor infisical redis-1 6379 2" in text
    assert (node.root / "slept").read_text().split() == ["1", "1"]


def test_a_sentinel_that_nobody_answers_keeps_its_own_decision(node: Node) -> None:
    (node.data / "sentinel.conf").write_text("sentinel monitor infisical redis-3 6379 2\n")
    assert "monitor infisical redis-3 6379 2" in node.start("sentinel.sh", "sentinel-2")
    assert (node.root / "slept").read_text().split() == ["1"] * 10


def test_the_first_sentinels_watch_the_first_redis(node: Node) -> None:
    text = node.start("sentinel.sh", "sentinel-1")
    assert "sentinel monitor infisical redis-1 6379 2" in text
    assert text.index("resolve-hostnames") < text.index("monitor") < text.index("auth-pass")


@pytest.mark.parametrize(
    ("own", "others", "said"),
    [
        ("redis-1", ("redis-1", "redis-1"), ""),
        ("redis-2", ("redis-1", "redis-2"), ""),
        ("redis-2", ("redis-1", "redis-3"), ""),
        # A sentinel that does not reach both others can't know the right master.
        ("redis-2", ("redis-1",), ""),
        ("redis-2", (), ""),
        ("redis-1", ("redis-2", "redis-2"), "names redis-1 "),
    ],
)
def test_a_sentinel_that_kept_an_old_master_is_not_healthy(
    node: Node, own: str, others: tuple[str, ...], said: str
) -> None:
    node.answer("127.0.0.1", own, 5)
    for number, named in enumerate(others, 2):
        node.answer(f"sentinel-{number}", named, 5)
    done = node.run("sentinel.sh", "sentinel-1", "healthy")
    assert (done.returncode, done.stderr) == (1 if said else 0, "")
    assert done.stdout.startswith(said)
    assert bool(done.stdout) == bool(said)
    assert not (node.data / "sentinel.conf").exists(), "a check starts nothing"


def test_a_sentinel_that_does_not_answer_is_not_healthy(node: Node) -> None:
    node.answer("sentinel-2", "redis-1", 5)
    assert node.run("sentinel.sh", "sentinel-1", "healthy").returncode == 1


@pytest.mark.parametrize(
    ("tls", "redis", "sentinel"),
    [
        (1, {"tls-port 6380"}, {"port 26379"}),
        (2, {"tls-port 6380"}, {"port 26379"}),
        (
            3,
            {"port 0", "tls-port 6379", "tls-replication yes"},
            {"port 0", "tls-port 26379", "tls-replication yes"},
        ),
    ],
)
def test_plain_ports_are_closed_only_at_the_last_level(
    node: Node, tls: int, redis: set[str], sentinel: set[str]
) -> None:
    node.tls = tls
    about = re.compile(r"^((?:tls-)?port .*|tls-replication .*)$", re.MULTILINE)
    assert set(about.findall(node.start("redis.sh", "redis-1"))) == redis
    assert set(about.findall(node.start("sentinel.sh", "sentinel-1"))) == sentinel
    assert (node.programs / "tls.pem").stat().st_mode & 0o777 == 0o600


def test_the_proxy_may_only_query_the_role_of_redis(node: Node) -> None:
    text = node.start("redis.sh", "redis-1")
    users = [line.split() for line in text.splitlines() if line.startswith("user ")]
    assert users == [["user", "haproxy", "on", "nopass", "resetchannels", "-@all", "+role"]]


def test_a_redis_does_not_start_on_a_full_disk(node: Node) -> None:
    node.free.write_text("0\n65536\n65537\n")
    assert node.start_redis("redis-2") == "redis-1"
    assert (node.root / "slept").read_text().splitlines()[:2] == ["2", "2"]
    assert node.free.read_text() == "65537\n"


def test_a_redis_whose_disk_is_full_ends_without_writing(node: Node) -> None:
    node.program("redis-server", _REDIS_UNTIL_SHUTDOWN)
    node.program("redis-cli", _REDIS_CLI_SHUTDOWN)
    node.free.write_text("1000000\n1025\n1024\n")
    done = node.run("redis.sh", "redis-1")
    assert done.stdout == f"{_PASSWORD} --tls --cacert ca.crt shutdown nosave now force\n"
    assert node.free.read_text() == "1024\n"
