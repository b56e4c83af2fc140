"""A fake host whose engine can be in a swarm."""

import subprocess
from pathlib import Path

from tests.unit.fake_host import FakeHost, make_host
from tests.unit.fake_programs import fake_docker

TOKEN, KEY = "SWMTKN-1-obviously-fake", "SWMKEY-1-obviously-fake"
_DOCKER = f"""
*LocalNodeState*) cat "$HOST/state" ;;
*Cluster.ID*) echo swarm-id node-id ;;
"swarm unlock") cat >"$HOST/opened"; echo active >"$HOST/state" ;;
"swarm unlock-key"*) echo {KEY} ;;
"swarm join-token"*) echo {TOKEN} ;;
"volume ls"*"name=^infisical_etcd$") echo infisical_etcd ;;
"ps --all"*volume=infisical_etcd*exited*) cat "$HOST/crashes" ;;
"ps --all"*label=*) echo ended ;;
"exec"*etcdctl*) test -e "$HOST/healthy" ;;
"exec"*psql*) cat "$HOST/recovery" ;;
"run"*pg_waldump*) cat "$HOST/wal" ;;
"swarm leave"*) test ! -e "$HOST/lost" || exit 1; echo inactive >"$HOST/state" ;;
*DockerRootDir*) echo "$HOST/docker" ;;
"""
_CURL = """
echo "curl $*" >>"$HOST/calls"
cat >"$HOST/body"
if [ -e "$HOST/refusal" ]; then cat "$HOST/refusal"; else echo active >"$HOST/state"; fi
"""


def make_unjoined_host(directory: Path) -> FakeHost:
    """Return a host with a running engine outside any swarm."""
    host = make_host(directory)
    fake_docker(directory / "programs", _DOCKER)
    host.program("curl", _CURL)
    host.program("sleep")
    host.write("/state", "inactive\n")
    host.write("/calls", "")
    return host


def join(host: FakeHost, *options: str) -> subprocess.CompletedProcess[str]:
    """Join the host to the swarm of another host, with a token."""
    step = ("swarm", "join", "10.0.0.2", "10.0.0.1:2377", *options)
    return host.run(*step, stdin=f"swarm-id\n{TOKEN}\n")
