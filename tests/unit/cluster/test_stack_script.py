"""The stack on a Swarm: secrets of keys, what is not well, and what goes."""

import pytest

from tests.unit.cluster.played_lead import NAME, SECRETS, TEXT, Lead

_OUT_OF_MEMORY = "JavaScript heap out of memory"


def test_a_secret_is_named_after_what_it_holds_and_made_once(lead: Lead) -> None:
    done = lead.run("secrets", SECRETS)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    made = "\n".join(lead.changes())
    assert f"secret create {NAME} {TEXT}".strip() in made
    names = [line.split()[2] for line in lead.changes() if line.startswith("secret create")]
    lead.write("secrets", "".join(f"{name}\n" for name in names))
    lead.run("secrets", SECRETS)
    assert lead.changes() == made.split("\n")


def test_a_missing_key_makes_no_secret(lead: Lead) -> None:
    (lead.directory / "etc/keys/auth_secret").unlink()
    done = lead.run("secrets", SECRETS)
    assert done.returncode == 1
    assert "auth_secret is missing" in done.stderr
    assert lead.changes() == []


def test_a_key_that_means_something_to_a_shell_makes_no_secret(lead: Lead) -> None:
    """The containers' shells read what a secret holds."""
    (lead.directory / "etc/keys/auth_secret").write_text("x$(touch forged)")
    done = lead.run("secrets", SECRETS)
    assert (done.returncode, lead.changes()) == (1, [])
    assert "auth_secret" in done.stderr
    assert "forged" not in done.stderr


def test_the_look_tells_names_and_no_secret(lead: Lead) -> None:
    (lead.directory / "etc/keys/redis_password").unlink()
    lead.write("secrets", "").unlink()
    told = lead.run("state", SECRETS).stdout.splitlines()
    assert f"wanted infisical_env {NAME}" in told
    assert not [line for line in told if "redis_env" in line or "not-a-" in line]


@pytest.mark.parametrize(
    ("file", "old", "new", "unwell"),
    [
        ("services", "caddy 2/2", "caddy 2/2", ""),
        ("tasks", "infisical.2 node2 Running", "infisical.2 node2 Ready", "infisical_infisical: 1"),
        ("updates", "completed", "paused", "infisical_infisical: 2 of 2 run, update: paused"),
        ("updates", "completed", "rollback_completed", ""),
    ],
)
def test_the_wait_tells_what_does_not_run(
    lead: Lead, file: str, old: str, new: str, unwell: str
) -> None:
    text = (lead.directory / file).read_text()
    lead.write(file, text.replace(old, new))
    lead.write("log", "it can't go on\nwith not-a-secret\n")
    done = lead.run("wait", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == bool(unwell)
    if unwell:
        first, *rest = done.stdout.splitlines()
        assert first.startswith(unwell)
        assert rest == [
            "  node1 Rejected 2 seconds ago No such image: x",
            "  node2 Failed 9 seconds ago task: non-zero exit (1)",
            "  node2 Failed 1 day ago ",
            "  it can't go on",
        ]


def test_only_the_named_services_are_waited_for(lead: Lead) -> None:
    lead.run_tasks(caddy=2)
    lead.write("log", "")
    assert lead.run("wait", "0", "infisical_caddy").stdout == ""
    assert lead.run("wait", "0", "infisical_caddy", "infisical_infisical").stdout != ""


@pytest.mark.parametrize(("state", "waits"), [("ready active", True), ("down active", False)])
def test_a_task_without_a_node_is_waited_for_unless_a_node_is_away(
    lead: Lead, state: str, waits: bool
) -> None:
    lead.write("nodes", f"node n1 ready active\nnode n2 {state}\n")
    # The list of services still counts the tasks of a node that is down.
    lead.write("services", "infisical_infisical 2/2 (max 1 per node)\n")
    lead.run_tasks(infisical=1, waiting="infisical_infisical")
    lead.write("log", "")
    assert bool(lead.run("wait", "0").stdout) is waits


@pytest.mark.parametrize(
    ("state", "running", "waits"),
    [("down active", 0, False), ("ready active", 0, True), ("down active", 1, True)],
)
def test_an_update_is_waited_for_unless_all_its_tasks_wait_for_a_node(
    lead: Lead, state: str, running: int, waits: bool
) -> None:
    lead.write("nodes", f"node n1 ready active\nnode n2 {state}\n")
    lead.write("services", f"infisical_etcd-2 {running + 1}/{running + 1}\n")
    lead.write("updates", "infisical_etcd-2 updating\n")
    lead.run_tasks(**{"etcd-2": running}, waiting="infisical_etcd-2")
    lead.write("log", "")
    assert bool(lead.run("wait", "0").stdout) is waits


def test_what_waits_for_a_node_is_tried_again_and_what_runs_goes_on(lead: Lead) -> None:
    lead.run_tasks(infisical=1, caddy=2, waiting="infisical_infisical")
    done = lead.run("anew")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert lead.changes() == [
        "service scale --detach infisical_infisical=1",
        "service scale --detach infisical_infisical=2",
    ]


def test_a_swarm_that_tells_of_no_service_is_not_well(lead: Lead) -> None:
    lead.write("services", "")
    assert "Swarm does not answer" in lead.run("wait", "0").stdout


def test_only_secrets_and_configs_with_a_hash_in_their_name_go(lead: Lead) -> None:
    lead.write("secrets", "redis_env_0123456789ab\nredis_env_ffffffffffff\nsomebody-elses\n")
    lead.write("configs", "haproxy_cfg_0123456789ab\nhaproxy_cfg_eeeeeeeeeeee\n")
    kept, gone = (lead.write(f"etc/stack/haproxy_cfg_{12 * c}", "") for c in "0e")
    kept = kept.rename(kept.with_name("haproxy_cfg_0123456789ab"))
    lead.run("clean", "redis_env_0123456789ab", "haproxy_cfg_0123456789ab")
    assert (kept.exists(), gone.exists()) == (True, False)
    assert lead.changes() == [
        "secret rm redis_env_ffffffffffff",
        "config rm haproxy_cfg_eeeeeeeeeeee",
    ]


_LOOP = "infisical_infisical.2 Failed\n"


@pytest.mark.parametrize(
    ("service", "update"), [("infisical_infisical", "completed"), ("infisical_caddy", "none")]
)
def test_a_task_that_ends_again_and_again_is_not_waited_for(
    lead: Lead, service: str, update: str
) -> None:
    """As on a single host, what ended five times is told with its last lines, and that is all."""
    lead.run_tasks("", **{"infisical": 2, "caddy": 2, service.removeprefix("infisical_"): 1})
    lead.write("loops", f"{service}.2 Failed\n" * 3)
    lead.write("log", f"{_OUT_OF_MEMORY}\n")
    _data(lead, members=3, copies=3)
    done = lead.run("wait", "50")
    assert (done.returncode, done.stderr) == (0, "")
    told = done.stdout.splitlines()
    assert told[0].startswith(f"{service}: 1 of 2 run, update: {update}; ")
    assert told[4].strip() == _OUT_OF_MEMORY


def test_state_does_not_wait_for_a_task_that_starts_and_ends_again_and_again(lead: Lead) -> None:
    """A broken etcd ends every three seconds: each look at the stack waited for its whole bound."""
    lead.run_tasks(infisical=2)
    with lead.directory.joinpath("tasks").open("a") as tasks:
        tasks.write("infisical_etcd-1.1 node1 Starting 1 second ago\n")
    lead.write("deaths", "t1 infisical_etcd-1.1 Failed\n")
    lead.write("loops", "infisical_etcd-1.1 Failed\n")
    assert "service infisical_infisical 2" in lead.run("state", SECRETS).stdout
    looks = lead.directory.joinpath("deaths").read_text().count("\n")
    assert 2 < looks <= 5, "it was waited for until it had ended twice, and no longer"


def test_what_ended_before_the_wait_began_does_not_count(lead: Lead) -> None:
    lead.run_tasks(infisical=1, caddy=2)
    lead.write("deaths", "".join(f"t{number} {_LOOP}" for number in range(9)))
    lead.write("log", "")
    assert "again and again" not in lead.run("wait", "2").stdout


@pytest.mark.parametrize(("members", "copies"), [(1, 3), (3, 0)])
def test_infisical_may_end_while_its_database_is_not_there(
    lead: Lead, members: int, copies: int
) -> None:
    lead.run_tasks(infisical=1, caddy=2)
    lead.write("loops", _LOOP * 5)
    lead.write("log", "")
    _data(lead, members, copies)
    assert "again and again" not in lead.run("wait", "2").stdout


def test_another_service_is_not_told_for_a_task_that_nobody_waits_for(lead: Lead) -> None:
    lead.run_tasks(infisical=1, caddy=1)
    lead.write("loops", _LOOP * 5)
    lead.write("log", "")
    _data(lead, members=3, copies=3)
    assert "again and again" not in lead.run("wait", "2", "infisical_caddy").stdout


def _data(lead: Lead, members: int, copies: int) -> None:
    """Have so many members of etcd and so many PostgreSQLs be well."""
    lead.write("health", "".join(f"http://etcd-{n}:2379 is healthy\n" for n in range(members)))
    streaming = ', {"name": "postgres", "state": "streaming"}' * copies
    lead.write("patroni", f'{{"members": [{{}}{streaming}]}}')
