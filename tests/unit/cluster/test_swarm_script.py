"""A host's part in the swarm, on a played host: no secret among arguments, nothing half-known."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.unit.played_host import PlayedHost, played

_TOKEN, _KEY = "SWMTKN-1-obviously-fake", "SWMKEY-1-obviously-fake"
_DOCKER = f"""#!/bin/sh
echo "docker $*" >>"$HOST/calls"
case "$*" in
*LocalNodeState*) cat "$HOST/state" ;;
*Cluster.ID*) echo swarm-id node-id ;;
"swarm unlock") cat >"$HOST/opened"; echo active >"$HOST/state" ;;
"swarm unlock-key"*) echo {_KEY} ;;
"swarm join-token"*) echo {_TOKEN} ;;
"volume ls"*"name=^infisical_etcd$") echo infisical_etcd ;;
"ps --all"*volume=infisical_etcd*exited*) cat "$HOST/crashes" ;;
"ps --all"*label=*) echo ended ;;
"exec"*etcdctl*) test -e "$HOST/well" ;;
"exec"*psql*) cat "$HOST/recovery" ;;
"swarm leave"*) test ! -e "$HOST/lost" || exit 1; echo inactive >"$HOST/state" ;;
*DockerRootDir*) echo "$HOST/docker" ;;
esac
"""
_CURL = """#!/bin/sh
echo "curl $*" >>"$HOST/calls"
cat >"$HOST/body"
if [ -e "$HOST/refusal" ]; then cat "$HOST/refusal"; else echo active >"$HOST/state"; fi
"""


@pytest.fixture
def host(tmp_path: Path) -> PlayedHost:
    """A host whose engine runs, in no swarm."""
    host = played(tmp_path)
    for name, text in {"docker": _DOCKER, "curl": _CURL, "sleep": "#!/bin/sh\n"}.items():
        (tmp_path / "programs" / name).write_text(text)
        (tmp_path / "programs" / name).chmod(0o755)
    host.write("/state", "inactive\n")
    host.write("/calls", "")
    return host


def _join(host: PlayedHost, *anew: str) -> subprocess.CompletedProcess[str]:
    step = ("swarm", "join", "10.0.0.2", "10.0.0.1:2377", *anew)
    return host.run(*step, stdin=f"swarm-id\n{_TOKEN}\n")


def _calls(host: PlayedHost) -> list[str]:
    return (host.read("/calls") or "").splitlines()


def test_a_host_joins_with_a_token_that_no_process_has_as_an_argument(host: PlayedHost) -> None:
    done = _join(host)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(host.read("/body") or "") == {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": "10.0.0.2",
        "RemoteAddrs": ["10.0.0.1:2377"],
        "JoinToken": _TOKEN,
    }
    assert _calls(host)
    assert not any(_TOKEN in call for call in _calls(host))
    assert host.read("/etc/infisical/swarm") == "swarm-id\n"


def test_a_host_that_is_in_the_swarm_is_marked_and_left_there(host: PlayedHost) -> None:
    host.write("/state", "active\n")
    host.write("/etc/infisical/swarm", "new\n")
    assert _join(host).returncode == 0
    assert host.read("/etc/infisical/swarm") == "swarm-id\n"
    assert host.read("/body") is None


def test_a_host_that_was_taken_out_joins_anew(host: PlayedHost) -> None:
    host.write("/state", "active\n")
    assert _join(host, "anew").returncode == 0
    assert "docker swarm leave --force" in _calls(host)
    assert host.read("/body") is not None


def test_a_part_that_its_managers_gave_up_and_that_cant_leave_is_forgotten(
    host: PlayedHost,
) -> None:
    host.write("/state", "pending\n")
    host.write("/lost", "")
    host.write("/docker/swarm/docker-state.json", "{}")
    host.write("/docker/volumes/kept", "")
    assert _join(host, "anew").returncode == 0
    assert host.read("/docker/swarm/docker-state.json") is None
    assert host.read("/docker/volumes/kept") == ""
    assert host.read("/etc/infisical/swarm") == "swarm-id\n"


def test_a_refusal_is_told_without_the_token_and_the_host_stays_this_projects(
    host: PlayedHost,
) -> None:
    host.write("/refusal", f'{{"message": "invalid join token {_TOKEN}"}}')
    done = _join(host)
    assert done.returncode == 1
    assert done.stderr == '{"message": "invalid join token (token)"}\n'
    assert host.read("/etc/infisical/swarm") == "new\n"


def test_the_first_manager_keeps_the_key_and_says_nothing(host: PlayedHost) -> None:
    done = host.run("swarm", "begin", "10.0.0.1", "10.201.0.0/16", "720")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [begun] = [call for call in _calls(host) if "swarm init" in call]
    assert "--advertise-addr 10.0.0.1 --default-addr-pool 10.201.0.0/16" in begun
    assert begun.endswith("--cert-expiry 720h --autolock")
    file = host.directory / "etc/infisical/keys/swarm_unlock_key"
    assert file.read_text() == f"{_KEY}\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_swarm_whose_key_was_lost_before_anything_was_in_it_is_begun_anew(
    host: PlayedHost,
) -> None:
    host.write("/state", "locked\n")
    host.write("/etc/infisical/swarm", "new\n")
    host.ok(("swarm", "begin", "10.0.0.1", "10.201.0.0/16", "720"))
    done = [call for call in _calls(host) if "leave" in call or "init" in call]
    assert [call.split()[2] for call in done] == ["leave", "init"]
    assert host.read("/etc/infisical/keys/swarm_unlock_key") == f"{_KEY}\n"


def test_a_swarm_whose_managers_do_not_answer_for_a_moment_is_not_left(host: PlayedHost) -> None:
    host.write("/state", "active\n")
    host.write("/etc/infisical/swarm", "swarm-id\n")
    done = host.run("swarm", "begin", "10.0.0.1", "10.201.0.0/16", "720")
    assert (done.returncode, _calls(host)) == (1, [])
    assert done.stderr == ("the managers of the host's swarm don't answer just now: run again\n")


def test_of_a_stack_whose_swarm_is_no_more_postgresqls_data_stay(host: PlayedHost) -> None:
    host.write("/state", "pending\n")
    host.write("/etc/infisical/stack.yaml", "services: {}")
    host.ok(("swarm", "begin", "10.0.0.1", "10.201.0.0/16", "720"))
    removed = [call for call in _calls(host) if call.split()[1] == "rm" or " rm " in call]
    assert removed == ["docker rm --force ended", "docker volume rm --force infisical_etcd"]
    assert host.read("/etc/infisical/stack.yaml") is None


_DATA = "/var/lib/docker/volumes/infisical_patroni/_data/pgdata/pgroot/data/global/pg_control"


@pytest.mark.parametrize(
    ("etcd", "volume", "crashes", "recovery", "lines"),
    [
        ("well", True, 5, "f", ["etcd well"]),
        ("", True, 2, "f", ["etcd ", "primary"]),
        ("", True, 3, "t", ["etcd lost"]),
        ("", False, 0, "f", ["etcd lost", "primary"]),
    ],
)
def test_a_look_tells_how_etcd_is_and_who_goes_on_without_it(
    host: PlayedHost, etcd: str, volume: bool, crashes: int, recovery: str, lines: list[str]
) -> None:
    host.write("/etc/infisical/stack.yaml", "services: {}")
    host.write("/crashes", "id\n" * crashes)
    host.write("/recovery", f"{recovery}\n")
    if etcd:
        host.write(f"/{etcd}", "")
    if volume:
        host.write("/var/lib/docker/volumes/infisical_etcd/_data/data", "")
    told = host.run("swarm-look").stdout.splitlines()
    assert [line for line in told if line.startswith(("etcd", "primary"))] == lines
    assert "data" not in told


def test_a_look_tells_whether_there_are_data(host: PlayedHost) -> None:
    host.write(_DATA, "")
    assert "data" not in host.run("swarm-look").stdout.splitlines()
    host.write(_DATA, "something")
    assert "data" in host.run("swarm-look").stdout.splitlines()


@pytest.mark.parametrize(
    ("tried", "loaded", "found", "told"),
    [
        (0, "xt_u32", "", True),
        (0, "", "xt_bpf", True),
        (0, "xt_recent", "ip_vs", False),
        (2, "xt_u32", "xt_bpf", False),
    ],
)
def test_a_kernel_encrypts_that_has_esp_and_can_tell_the_packets_of_one_network(
    host: PlayedHost, tmp_path: Path, tried: int, loaded: str, found: str, told: bool
) -> None:
    programs = {"unshare": f"exit {tried}", "modprobe": f'test "$3" = "{found}"'}
    for name, text in programs.items():
        (tmp_path / "programs" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "programs" / name).chmod(0o755)
    host.write(f"/sys/module/{loaded or 'other'}/refcnt", "1")
    assert ("esp" in host.run("swarm-look").stdout.splitlines()) == told


def test_a_locked_part_is_opened_with_the_key_on_standard_input(host: PlayedHost) -> None:
    host.ok(("swarm", "keep"))
    host.write("/state", "locked\n")
    host.ok(("swarm", "unlock"), ("swarm", "ready", "3"))
    assert host.read("/opened") == f"{_KEY}\n"
    assert not any(_KEY in call for call in _calls(host))


def test_the_unit_opens_it_when_docker_starts(host: PlayedHost) -> None:
    host.ok(("swarm", "keep"))
    host.write("/state", "locked\n")
    host.ok(("swarm-unlock",))
    assert host.read("/opened") == f"{_KEY}\n"


@pytest.mark.parametrize("step", [("swarm-unlock",), ("swarm", "begin", "10.0.0.1", "pool", "720")])
def test_what_docker_left_of_a_network_is_in_no_new_ones_way(
    host: PlayedHost, tmp_path: Path, step: tuple[str, ...]
) -> None:
    (tmp_path / "programs" / "ip").write_text('#!/bin/sh\necho "ip $*" >>"$HOST/calls"\n')
    (tmp_path / "programs" / "ip").chmod(0o755)
    for name in ("vx-001002-fu51t", "vx-of-somebody", "eth0"):
        host.write(f"/sys/class/net/{name}/mtu", "1500")
    host.ok(step)
    interfaces = [call for call in _calls(host) if call.startswith("ip ")]
    assert interfaces == ["ip link delete vx-001002-fu51t"]


def test_the_unit_fails_where_the_key_does_not_open_it(host: PlayedHost) -> None:
    host.write("/state", "pending\n")
    done = host.run("swarm-unlock")
    assert (done.returncode, done.stderr.count("still locked after a minute")) == (1, 1)


def test_after_a_rotation_the_new_key_is_kept(host: PlayedHost) -> None:
    host.write("/etc/infisical/keys/swarm_unlock_key", "older\n")
    done = host.run("swarm", "rotate")
    assert (done.returncode, done.stdout) == (0, "")
    assert [call for call in _calls(host) if "--rotate" in call] == [
        "docker swarm join-token --rotate --quiet worker",
        "docker swarm join-token --rotate --quiet manager",
        "docker swarm unlock-key --rotate --quiet",
    ]
    assert host.read("/etc/infisical/keys/swarm_unlock_key") == f"{_KEY}\n"


def test_a_host_that_leaves_keeps_nothing_of_the_swarm_but_its_other_keys(
    host: PlayedHost,
) -> None:
    _join(host)
    host.ok(("swarm", "keep"), ("share", "lead", "3"))
    host.write("/etc/infisical/keys/encryption_key", "obviously-fake")
    host.ok(("swarm", "leave"), ("swarm", "leave"))
    assert _calls(host).count("docker swarm leave --force") == 1
    left = [str(each.relative_to(host.directory)) for each in host.directory.glob("etc/**/*")]
    assert sorted(left) == [
        "etc/infisical",
        "etc/infisical/keys",
        "etc/infisical/keys/encryption_key",
    ]


def test_a_part_that_does_not_come_up_is_told(host: PlayedHost) -> None:
    done = host.run("swarm", "ready", "3")
    assert done.stderr == "the host's part in the swarm is inactive after 3 s\n"


def test_a_look_shows_no_key(host: PlayedHost) -> None:
    host.ok(("swarm", "keep"))
    found = host.run("swarm-look").stdout
    assert "unlocks" in found.splitlines()
    assert _KEY not in found
