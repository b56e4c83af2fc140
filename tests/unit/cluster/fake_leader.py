"""A fake leader of a cluster, in a directory, with a fake Docker."""

import subprocess
from hashlib import sha256
from pathlib import Path

from infisical_iac.core.rendering import script
from tests.unit.fake_programs import fake_docker, fake_program, run_with

# A Docker that answers from the files of the host's directory, and logs requested changes.
_DOCKER = """
"secret inspect"*) grep -qx "$3" "$HOST/secrets" 2>/dev/null ;;
"secret create"*) echo "secret create $5 $(cat)" >>"$HOST/changes" ;;
"secret ls"* | "config ls"*) cat "$HOST/$1s" 2>/dev/null ;;
"secret rm"* | "config rm"*) echo "$1 rm $3" >>"$HOST/changes" ;;
"node ls"*) echo id ;;
"node inspect"*) cat "$HOST/nodes" ;;
"service scale"*)
    echo "$*" >>"$HOST/changes"
    # A task that waits is removed with the desired number.
    sed -i -E "/^${4%%=*}[.][^.]*(  Pending| Accepted| Assigned)/d" "$HOST/tasks"
    ;;
"service rm"* | "volume rm"*) echo "$*" >>"$HOST/changes" ;;
"service ls"*--quiet*) echo id ;;
"service ls"*"{{ .Name }}") cat "$HOST/names" ;;
"service ls"*) cat "$HOST/services" ;;
"service inspect"*) cat "$HOST/updates" ;;
"service ps"*) cat "$HOST/history" ;;
"service logs"*) test "$6" = t3 && cat "$HOST/log" ;;
"stack ps"*desired-state=shutdown*)
    cat "$HOST/deaths" 2>/dev/null
    # Each call lists one more ended task for every slot in a crash loop.
    test ! -e "$HOST/loops" || while read -r slot state; do
        echo "t$(wc -l <"$HOST/deaths") $slot $state" >>"$HOST/deaths"
    done <"$HOST/loops"
    ;;
"stack ps"*) cat "$HOST/tasks" ;;
"volume ls"*"label=com.docker.stack.namespace=infisical "*) grep "${7#name=}" "$HOST/volumes" ;;
"rm --force"*)
    echo "$*" >>"$HOST/changes"
    case "$3" in pgid) test -e "$HOST/stays" || touch "$HOST/ended" ;; esac
    ;;
"ps --all"*)
    case $* in *--filter*) cat "$HOST/holding" && exit ;; esac
    echo "etcdid / infisical_etcd-1/ Up 2 hours"
    test ! -e "$HOST/single" || echo "singleid infisical/postgres / Up 2 hours"
    test -e "$HOST/ended" || echo "pgid / infisical_postgres-1/ Up 2 hours"
    echo "sentinelid / infisical_sentinel-1/ Up 2 hours"
    ;;
"exec sentinelid"*)
    inside=$(echo "$5" | sed "s,/run/secrets,$HOST,")
    NAME=sentinel-1 exec sh -c "$inside"
    ;;
"exec pgid sh"*)
    case $* in
    */config\\"*) cat "$HOST/dynamic" "$HOST/patroni" && exit ;;
    *8008/cluster\\"*) cat "$HOST/patroni" && exit ;;
    esac
    inside=$(echo "$5" | sed "s,/run/secrets,$HOST,")
    shift 5
    exec sh -c "$inside" "$@"
    ;;
"exec pgid printenv"*) echo postgres-1 ;;
"exec etcdid etcdctl get --print-value-only"*) cat "$HOST/leader" ;;
"exec etcdid etcdctl endpoint health"*)
    test ! -e "$HOST/no-quorum" || exit 1
    case $* in *--cluster) cat "$HOST/health" ;; esac
    ;;
"exec etcdid etcdctl member list"*) cat "$HOST/members" ;;
"exec etcdid etcdctl member remove"*)
    echo "remove $6" >>"$HOST/changes"
    sed -i "/^$6,/d" "$HOST/members"
    ;;
"exec etcdid etcdctl member update"*)
    echo "update $6 $7" >>"$HOST/changes"
    test -e "$HOST/no-quorum" || sed -i "/^$6,/s,http://[^ ]*:2380,${7#*=}," "$HOST/members"
    ;;
"exec etcdid etcdctl member add"*)
    echo "add $6 $7" >>"$HOST/changes"
    echo "c0de9, unstarted, , http://$6:2380, , false" >>"$HOST/members"
    ;;
"""
# A curl that logs its arguments and its standard input.
CURL = """
echo "$*" >>"$HOST/changes"
cat >>"$HOST/changes"
"""
SECRETS = "infisical_env:encryption_key,auth_secret redis_env:redis_password"
TEXT = "ENCRYPTION_KEY=not-a-key\nAUTH_SECRET=not-a-secret\n"
NAME = f"infisical_env_{sha256(TEXT.encode()).hexdigest()[:12]}"


class Leader:
    """A manager's `/etc/infisical` and a fake Docker, below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        fake_docker(directory, _DOCKER)
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

    def add_task(self, line: str) -> None:
        """Add a task, as `docker stack ps` lists it."""
        with (self.directory / "tasks").open("a") as file:
            file.write(f"{line}\n")

    def program(self, name: str, body: str = "") -> None:
        """Replace a program of the host by a fake."""
        fake_program(self.directory, name, body)

    def run_tasks(self, waiting: str = "", **running: int) -> None:
        """Set the number of running tasks per service, and a service with a task without a node."""
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
        command = script(of, *step).replace("/etc/infisical", f"{self.directory}/etc")
        return run_with(self.directory, command)
