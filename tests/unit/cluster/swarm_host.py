"""A fake host whose engine can be in a swarm."""

import subprocess
from pathlib import Path

from tests.unit.played_host import PlayedHost, played

TOKEN, KEY = "SWMTKN-1-obviously-fake", "SWMKEY-1-obviously-fake"
_DOCKER = f"""#!/bin/sh
echo "docker $*" >>"$HOST/calls"
case "$*" in
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
esac
"""
_CURL = """#!/bin/sh
echo "curl $*" >>"$HOST/calls"
cat >"$HOST/body"
if [ -e "$HOST/refusal" ]; then cat "$HOST/refusal"; else echo active >"$HOST/state"; fi
"""


def in_no_swarm(directory: Path) -> PlayedHost:
    """Return a host with a running engine outside any swarm."""
    host = played(directory)
    for name, text in {"docker": _DOCKER, "curl": _CURL, "sleep": "#!/bin/sh\n"}.items():
        (directory / "programs" / name).write_text(text)
        (directory / "programs" / name).chmod(0o755)
    host.write("/state", "inactive\n")
    host.write("/calls", "")
    return host


def join(host: PlayedHost, *anew: str) -> subprocess.CompletedProcess[str]:
    """Join the host to the swarm of another one, with a token."""
    step = ("swarm", "join", "10.0.0.2", "10.0.0.1:2377", *anew)
    return host.run(*step, stdin=f"swarm-id\n{TOKEN}\n")


def calls(host: PlayedHost) -> list[str]:
    """Return the programs that it has run, with their arguments."""
    return (host.read("/calls") or "").splitlines()
