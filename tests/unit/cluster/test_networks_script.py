"""Test that the script removes networks of the stack once they are unused."""

import subprocess
from pathlib import Path

from infisical_iac.core.rendering import script
from tests.unit.fake_programs import fake_docker, fake_program, run_with

_EDGE = "infisical-edge"
_USERS = "infisical_haproxy infisical_etcd-1 infisical_postgres-1"
# Services and networks are files; a stopped task is still listed a few times.
_DOCKER = """
"service inspect"*) test -e "$HOST/services/$3" ;;
"service scale"*)
    name=${4%=*}
    test "$name" != infisical_haproxy || exit 1
    echo "stop $name" >>"$HOST/changes"
    ;;
"service update"*) echo "stop $6" >>"$HOST/changes" ;;
"service ps"*)
    cat "$HOST/tasks"
    sed -i 1d "$HOST/tasks"
    ;;
"service rm"*)
    shift 2
    for name; do rm "$HOST/services/$name" && echo "rm $name" >>"$HOST/changes"; done
    ;;
"network inspect"*) test -e "$HOST/networks/$3" ;;
"network rm"*) rm "$HOST/networks/$3" && echo "rm $3" >>"$HOST/changes" ;;
"""


def _remove(host: Path, tasks: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    fake_docker(host, _DOCKER)
    fake_program(host, "sleep")
    for place in ("services/infisical_haproxy", "services/infisical_etcd-1", f"networks/{_EDGE}"):
        (host / place).parent.mkdir(exist_ok=True)
        (host / place).write_text("")
    (host / "docker node ls").write_text("Ready s1\nDown s2\n")
    (host / "tasks").write_text(tasks)
    done = run_with(host, script("cluster-networks", "remove", _USERS, _EDGE))
    return done, (host / "changes").read_text().splitlines()


def test_a_network_is_removed_after_its_last_container_ended(tmp_path: Path) -> None:
    done, changes = _remove(
        tmp_path, "s1 Running 2 hours ago\ns1 Shutdown now\ns2 Running now\n Pending now\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert changes == [
        *("stop infisical_haproxy", "stop infisical_etcd-1"),
        *("rm infisical_haproxy", "rm infisical_etcd-1", f"rm {_EDGE}"),
    ]


def test_a_running_container_keeps_service_and_network(tmp_path: Path) -> None:
    done, changes = _remove(tmp_path, "s1 Running 2 hours ago\n" * 400)
    assert done.returncode == 1
    assert "3 minutes" in done.stderr
    assert "s1 Running" in done.stderr
    assert changes == ["stop infisical_haproxy", "stop infisical_etcd-1"]
