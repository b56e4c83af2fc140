"""Test the script of the stack: secrets, health, and the removal of leftovers."""

import pytest

from tests.unit.cluster.fake_leader import NAME, SECRETS, TEXT, Leader

_OUT_OF_MEMORY = "JavaScript heap out of memory"
_NO_IMAGE = "No such image: x"
# The ended tasks of the fake Docker, and the log of the last task without its secret.
_ENDED_TASKS = [
    f"  node1 Rejected 2 seconds ago {_NO_IMAGE}",
    "  node2 Failed 9 seconds ago task: non-zero exit (1)",
    "  node2 Failed 1 day ago ",
    "  it can't go on",
]


def test_a_secret_is_named_after_its_content_and_made_once(leader: Leader) -> None:
    done = leader.run("secrets", SECRETS)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    made = "\n".join(leader.changes())
    assert f"secret create {NAME} {TEXT}".strip() in made
    names = [line.split()[2] for line in leader.changes() if line.startswith("secret create")]
    leader.write("secrets", "".join(f"{name}\n" for name in names))
    leader.run("secrets", SECRETS)
    assert leader.changes() == made.split("\n")


def test_a_missing_key_makes_no_secret(leader: Leader) -> None:
    (leader.directory / "etc/keys/auth_secret").unlink()
    done = leader.run("secrets", SECRETS)
    assert done.returncode == 1
    assert "auth_secret is missing" in done.stderr
    assert leader.changes() == []


def test_a_key_with_shell_characters_makes_no_secret(leader: Leader) -> None:
    """The shells of the containers read the content of a secret."""
    (leader.directory / "etc/keys/auth_secret").write_text("x$(touch forged)")
    done = leader.run("secrets", SECRETS)
    assert (done.returncode, leader.changes()) == (1, [])
    assert "auth_secret" in done.stderr
    assert "forged" not in done.stderr


def test_the_state_lists_names_and_no_secret(leader: Leader) -> None:
    (leader.directory / "etc/keys/redis_password").unlink()
    leader.write("secrets", "").unlink()
    output = leader.run("state", SECRETS).stdout.splitlines()
    assert f"desired infisical_env {NAME}" in output
    assert not [line for line in output if "redis_env" in line or "not-a-" in line]


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("services", "caddy 2/2", "caddy 2/2", ""),
        ("tasks", "infisical.2 node2 Running", "infisical.2 node2 Ready", "infisical_infisical: 1"),
        ("updates", "completed", "paused", "infisical_infisical: 2 of 2 run, update: paused"),
        ("updates", "completed", "rollback_completed", ""),
    ],
)
def test_the_wait_reports_services_that_do_not_run(
    leader: Leader, file: str, old: str, new: str, problem: str
) -> None:
    text = (leader.directory / file).read_text()
    leader.write(file, text.replace(old, new))
    leader.write("log", "it can't go on\nwith not-a-secret\n")
    done = leader.run("wait", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == bool(problem)
    if problem:
        first, *rest = done.stdout.splitlines()
        assert first.startswith(problem)
        assert rest == _ENDED_TASKS


def test_only_the_named_services_are_waited_for(leader: Leader) -> None:
    leader.run_tasks(caddy=2)
    leader.write("log", "")
    assert leader.run("wait", "0", "infisical_caddy").stdout == ""
    assert leader.run("wait", "0", "infisical_caddy", "infisical_infisical").stdout != ""


@pytest.mark.parametrize(("state", "waits"), [("ready active", True), ("down active", False)])
def test_a_task_without_a_node_is_waited_for_unless_a_node_is_unreachable(
    leader: Leader, state: str, waits: bool
) -> None:
    leader.write("nodes", f"node n1 ready active\nnode n2 {state}\n")
    # The list of services still counts the tasks of a node that is down.
    leader.write("services", "infisical_infisical 2/2 (max 1 per node)\n")
    leader.run_tasks(infisical=1, waiting="infisical_infisical")
    leader.write("log", "")
    assert bool(leader.run("wait", "0").stdout) is waits


@pytest.mark.parametrize(
    ("state", "running", "waits"),
    [("down active", 0, False), ("ready active", 0, True), ("down active", 1, True)],
)
def test_an_update_is_waited_for_unless_all_its_tasks_wait_for_a_node(
    leader: Leader, state: str, running: int, waits: bool
) -> None:
    leader.write("nodes", f"node n1 ready active\nnode n2 {state}\n")
    leader.write("services", f"infisical_etcd-2 {running + 1}/{running + 1}\n")
    leader.write("updates", "infisical_etcd-2 updating\n")
    leader.run_tasks(**{"etcd-2": running}, waiting="infisical_etcd-2")
    leader.write("log", "")
    assert bool(leader.run("wait", "0").stdout) is waits


def test_waiting_tasks_are_retried_and_running_ones_continue(leader: Leader) -> None:
    leader.run_tasks(infisical=1, caddy=2, waiting="infisical_infisical")
    done = leader.run("retry")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert leader.changes() == [
        "service scale --detach infisical_infisical=1",
        "service scale --detach infisical_infisical=2",
    ]


@pytest.mark.parametrize("state", ["Accepted 13 minutes ago", "Assigned About an hour ago"])
def test_a_task_whose_node_lost_it_on_a_full_disk_is_retried(leader: Leader, state: str) -> None:
    leader.run_tasks(infisical=2, caddy=2)
    leader.add_task(f"infisical_infisical.3 node3 {state}")
    leader.write("services", "infisical_infisical 2/3\ninfisical_caddy 2/2\n")
    assert leader.run("retry").returncode == 0
    assert leader.changes() == [
        "service scale --detach infisical_infisical=2",
        "service scale --detach infisical_infisical=3",
    ]


def test_a_task_that_was_just_accepted_is_not_retried(leader: Leader) -> None:
    leader.run_tasks(infisical=2, caddy=2)
    leader.add_task("infisical_caddy.3 node3 Accepted 9 seconds ago")
    assert leader.run("retry").returncode == 0
    assert leader.changes() == []


def test_a_swarm_without_services_is_unhealthy(leader: Leader) -> None:
    leader.write("services", "")
    assert "Swarm has no majority" in leader.run("wait", "0").stdout


def test_only_secrets_and_configs_with_a_hash_are_removed(leader: Leader) -> None:
    leader.write("secrets", "redis_env_0123456789ab\nredis_env_ffffffffffff\nsomebody-elses\n")
    leader.write("configs", "haproxy_cfg_0123456789ab\nhaproxy_cfg_eeeeeeeeeeee\n")
    kept, gone = (leader.write(f"etc/stack/haproxy_cfg_{12 * c}", "") for c in "0e")
    kept = kept.rename(kept.with_name("haproxy_cfg_0123456789ab"))
    leader.run("clean", "redis_env_0123456789ab", "haproxy_cfg_0123456789ab")
    assert (kept.exists(), gone.exists()) == (True, False)
    assert leader.changes() == [
        "secret rm redis_env_ffffffffffff",
        "config rm haproxy_cfg_eeeeeeeeeeee",
    ]


_LOOP = "infisical_infisical.2 Failed\n"


@pytest.mark.parametrize(
    ("service", "update"), [("infisical_infisical", "completed"), ("infisical_caddy", "none")]
)
def test_a_crash_loop_is_not_waited_for(leader: Leader, service: str, update: str) -> None:
    """As on a single host, a task that ended five times is reported with its last lines."""
    leader.run_tasks("", **{"infisical": 2, "caddy": 2, service.removeprefix("infisical_"): 1})
    leader.write("loops", f"{service}.2 Failed\n" * 3)
    leader.write("log", f"{_OUT_OF_MEMORY}\n")
    _set_healthy_data_services(leader, members=3, copies=3)
    done = leader.run("wait", "50")
    assert (done.returncode, done.stderr) == (0, "")
    output = done.stdout.splitlines()
    assert output[0].startswith(f"{service}: 1 of 2 run, update: {update}; ")
    assert output[4].strip() == _OUT_OF_MEMORY


def test_state_does_not_wait_for_a_task_that_crashes_repeatedly(leader: Leader) -> None:
    """A broken etcd ends every three seconds, and each inspection once took the maximum time."""
    leader.run_tasks(infisical=2)
    with leader.directory.joinpath("tasks").open("a") as tasks:
        tasks.write("infisical_etcd-1.1 node1 Starting 1 second ago\n")
    leader.write("deaths", "t1 infisical_etcd-1.1 Failed\n")
    leader.write("loops", "infisical_etcd-1.1 Failed\n")
    assert "service infisical_infisical 2" in leader.run("state", SECRETS).stdout
    ended = leader.directory.joinpath("deaths").read_text().count("\n")
    assert 2 < ended <= 5, "the script waits until the task has ended twice, and no longer"


def test_earlier_crashes_are_not_a_crash_loop(leader: Leader) -> None:
    leader.run_tasks(infisical=1, caddy=2)
    leader.write("deaths", "".join(f"t{number} {_LOOP}" for number in range(9)))
    leader.write("log", "")
    assert "again and again" not in leader.run("wait", "2").stdout


@pytest.mark.parametrize(("members", "copies"), [(1, 3), (3, 0)])
def test_infisical_may_crash_while_its_database_is_missing(
    leader: Leader, members: int, copies: int
) -> None:
    leader.run_tasks(infisical=1, caddy=2)
    leader.write("loops", _LOOP * 5)
    leader.write("log", "")
    _set_healthy_data_services(leader, members, copies)
    assert "again and again" not in leader.run("wait", "2").stdout


def test_tasks_of_other_services_do_not_end_the_wait(leader: Leader) -> None:
    leader.run_tasks(infisical=1, caddy=1)
    leader.write("loops", _LOOP * 5)
    leader.write("log", "")
    _set_healthy_data_services(leader, members=3, copies=3)
    assert "again and again" not in leader.run("wait", "2", "infisical_caddy").stdout


def _set_healthy_data_services(leader: Leader, members: int, copies: int) -> None:
    """Set the numbers of healthy etcd members and PostgreSQL servers."""
    leader.write("health", "".join(f"http://etcd-{n}:2379 is healthy\n" for n in range(members)))
    streaming = ', {"name": "postgres", "state": "streaming"}' * copies
    leader.write("patroni", f'{{"members": [{{}}{streaming}]}}')
