"""Test upgrades that succeed, fail or are killed, and rollbacks."""

from collections.abc import Iterator

import pytest

from infisical_iac.agent.releases import RELEASES
from tests.e2e import drilling, dying_script, giving_up, inspection, upgrading
from tests.e2e.backing import sql
from tests.e2e.dying_script import KILLED
from tests.e2e.running import Done, infisical_iac
from tests.e2e.upgrading import (
    ADDS,
    BREAKS,
    FAILS,
    FAILS_IN_PLACE,
    LOSES,
    SLEEPS,
    WAS,
    Upgrading,
)
from tests.staging import stack
from tests.staging.host import StagingHost

_SECRETS = {f"KEY_{number}": f"obviously-fake-{number}" for number in range(20)}
_POSTGRES = "SELECT current_setting('server_version_num')::int / 10000"
_LONG = pytest.mark.long
_POINTS = [dying_script.LOADING, upgrading.PUT_ASIDE]


@pytest.fixture(scope="module")
def world(
    deployed_host: StagingHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upgrading]:
    """The host with an older PostgreSQL and secrets, and images of later releases on it."""
    inspection.reset_stack(deployed_host)
    older = upgrading.have_older_postgres(deployed_host)
    made = Upgrading(deployed_host, tmp_path_factory.mktemp("upgrade"), older)
    made.ok(WAS, "apply", "--yes")
    upgrading.make_later(deployed_host)
    inspection.write_secrets(deployed_host, "/backend", _SECRETS)
    yield made
    inspection.reset_stack(deployed_host)
    upgrading.forget_releases(deployed_host)
    assert infisical_iac(deployed_host.name, "apply", "--yes").returncode == 0


@_LONG
@pytest.mark.real
def test_an_upgrade_killed_before_the_swap_is_undone_without_a_loss(world: Upgrading) -> None:
    for point in _POINTS:
        died = world.run(ADDS, "apply", "--yes", program=dying_script.program(*point))
        assert died.returncode == KILLED, f"{point}: {died.stderr}"
    assert "~ unfinished change of version: 20" in world.run(ADDS, "plan").stdout
    done = world.ok(WAS, "apply", "--yes")
    _serves_again_without_a_loss(done, WAS)
    assert upgrading.secrets(world.host) == _SECRETS
    world.assert_converged(WAS)
    assert world.releases() == []


def _serves_again_without_a_loss(done: Done, version: str) -> None:
    """Assert that a killed change is reported as undone, with no volume of data given up."""
    serving = f"Infisical {version} serves again"
    lines = [line for line in done.stderr.splitlines() if serving in line]
    assert lines, done.stderr
    assert giving_up.named_volumes("\n".join(lines)) == set()


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        pytest.param(BREAKS, "secrets can't be read:", marks=_LONG),
        pytest.param(FAILS, "Boot up migration failed", marks=pytest.mark.real),
        pytest.param(SLEEPS, "does not get healthy", marks=(_LONG, pytest.mark.real)),
        pytest.param(LOSES, "privilege can be granted (404: Route POST:", marks=_LONG),
    ],
)
def test_a_broken_version_is_found_on_a_copy_while_the_old_one_serves(
    world: Upgrading, version: str, reason: str
) -> None:
    timeout = upgrading.START_SECONDS if version == SLEEPS else 300
    started = upgrading.started(world.host)
    with upgrading.watch(world.host) as seen:
        done = world.run(version, "apply", "--yes", start_timeout=timeout)
    assert done.returncode == 1
    assert {each.version for each in seen} == {WAS}
    assert upgrading.started(world.host) == started
    assert f"Infisical {version} failed on a copy" in done.stderr
    assert giving_up.volumes(world.host) == set()
    _assert_the_failure_is_reported(world, done, version, reason)


@_LONG
@pytest.mark.real
def test_a_version_that_fails_in_place_is_rolled_back(world: Upgrading) -> None:
    _dies_on_the_way_back(world)
    with upgrading.watch(world.host) as seen:
        done = world.run(FAILS_IN_PLACE, "apply", "--yes")
    assert done.returncode == 1
    assert any(each.gets_out and each.port == "8080" for each in seen if each.version == WAS)
    exposed = [each for each in seen if each.version == FAILS_IN_PLACE]
    assert [each for each in exposed if not each.is_closed] == []
    assert f"Infisical {FAILS_IN_PLACE} failed, and {WAS} serves again" in done.stderr
    assert giving_up.named_volumes(done.stderr) == giving_up.volumes(world.host) != set()
    _assert_the_failure_is_reported(world, done, FAILS_IN_PLACE, "Boot up migration failed")


def _assert_the_failure_is_reported(
    world: Upgrading, done: Done, version: str, reason: str
) -> None:
    assert reason in done.stderr
    assert upgrading.secrets(world.host) == _SECRETS
    assert upgrading.version(world.host) == WAS
    assert f"{WAS} → {version}, which failed at 20" in world.run(version, "plan").stdout
    assert f"{stack.INFISICAL}:{version}" in world.logs()
    for value in inspection.secrets(world.host).values():
        assert value not in world.logs() + done.stderr
    world.assert_converged(WAS)


def _dies_on_the_way_back(world: Upgrading) -> None:
    """Kill the rollback of a failed upgrade; the next run completes it."""
    program = dying_script.program(*upgrading.BACK)
    died = world.run(FAILS_IN_PLACE, "apply", "--yes", program=program)
    assert died.returncode == KILLED, died.stderr


@_LONG
@pytest.mark.real
def test_an_upgrade_on_a_disk_that_fills_up_keeps_the_old_version(world: Upgrading) -> None:
    fill = f"fallocate -l $(df --output=avail -B 1 {RELEASES} | tail -1) {RELEASES}/fill"
    world.host.run(
        f"mkdir -p {RELEASES} && mount -t tmpfs -o size=400m tmpfs {RELEASES}; "
        "(for n in $(seq 1200); do "
        f"test -e {RELEASES}/*/images && {{ {fill}; exit; }}; sleep 0.05; done) >/dev/null 2>&1 &"
    )
    try:
        done = world.run(ADDS, "apply", "--yes")
    finally:
        world.host.run(f"umount {RELEASES}")
    assert done.returncode == 1
    assert "has 0 MB free" in done.stderr
    assert upgrading.secrets(world.host) == _SECRETS
    world.assert_converged(WAS)


@pytest.mark.real
def test_an_upgrade_killed_after_the_swap_is_completed(world: Upgrading) -> None:
    """Kill it before the new version starts, before its checks, after them, and at the end."""
    upgrading.redis(world.host, "set waiting job")
    _dies(world, *upgrading.SWAPPED)
    with upgrading.watch(world.host) as seen:
        _dies(world, *upgrading.DISCONNECTED)
        _dies(world, *upgrading.FORWARDED)
        world.host.run("sleep 2")
        assert "~ unfinished change of version: 20" in world.run(ADDS, "plan").stdout
    assert {each.version for each in seen} == {ADDS}
    assert [each for each in seen if not each.is_closed] == []
    with upgrading.watch(world.host) as seen:
        _dies(world, *upgrading.CONNECTED)
    upgrading.assert_closed_until_proven(seen, ADDS)
    _dies(world, *upgrading.PROVEN)
    done = world.ok(ADDS, "apply", "--yes")
    assert f"Infisical {ADDS} serves." in done.stderr
    assert upgrading.redis(world.host, "getdel waiting") == "job"
    assert upgrading.secrets(world.host) == _SECRETS
    assert upgrading.has_migrated(world.host, len(_SECRETS) + 1), "the canary is one too"
    assert sql(world.host, _POSTGRES) == "17"
    world.assert_converged(ADDS)
    assert [name.partition("-")[2] for name in world.releases()] == [WAS]


def _dies(world: Upgrading, script: str, line: str) -> None:
    died = world.run(ADDS, "apply", "--yes", program=dying_script.program(script, line))
    assert died.returncode == KILLED, f"{line}: {died.stderr}"


def test_an_altered_canary_stops_an_upgrade_before_it_begins(world: Upgrading) -> None:
    inspection.set_canary(world.host, "dead")
    done = world.run(BREAKS, "apply", "--yes", postgres_image=upgrading.NEWER)
    inspection.set_canary(world.host, "alive")
    assert done.returncode == 1
    assert "the canary was altered" in done.stderr
    world.assert_converged(ADDS)


@pytest.mark.real
def test_an_older_version_is_refused_with_the_rollback_command(world: Upgrading) -> None:
    done = world.run(WAS, "plan")
    assert done.returncode == 1
    assert "! Change the version: blocked: " in done.stdout
    assert "`infisical-iac rollback`" in done.stdout


@_LONG
@pytest.mark.real
def test_a_failed_rollback_keeps_the_writes_that_it_acknowledged(world: Upgrading) -> None:
    """Kill the run after the swap, let the old release serve, and make it fail its checks."""
    host, (old,) = world.host, world.releases()
    program = dying_script.program(*upgrading.SWAPPED)
    with giving_up.writing(host) as acknowledged:
        died = world.run(ADDS, "rollback", "--confirm", old, program=program)
        assert died.returncode == KILLED, died.stderr
        host.run("cd /etc/infisical && docker compose up --detach --wait 2>&1; sleep 2")
        assert upgrading.version(host) == WAS
        inspection.set_canary(host, "altered")
        failed = world.run(ADDS, "rollback", "--confirm", old)
    assert failed.returncode == 1
    assert f"Infisical {WAS} failed, and {ADDS} serves again" in failed.stderr
    assert giving_up.named_volumes(failed.stderr) == giving_up.volumes(host) != set()
    assert giving_up.lost_writes(host, acknowledged, failed.stderr) == set()
    served = giving_up.serving(host)
    assert acknowledged & served
    assert acknowledged - served
    world.assert_converged(ADDS)
    assert world.releases() == [old]


@pytest.mark.real
def test_a_rollback_restores_its_data_and_can_be_rolled_back_itself(world: Upgrading) -> None:
    since = {"SINCE": "obviously-fake"}
    inspection.write_secrets(world.host, "/backend", since)
    # The release is older than this rotation, and gets today's password.
    world.ok(ADDS, "keys", "rotate", "database")
    (old,) = world.releases()
    assert "'yes' is not" in world.run(ADDS, "rollback", answer="yes\n").stderr
    assert "without --keep-data" in world.run(ADDS, "rollback", "--keep-data").stderr
    program = dying_script.program(*upgrading.PUT_ASIDE)
    died = world.run(ADDS, "rollback", "--confirm", old, program=program)
    assert died.returncode == KILLED
    with upgrading.watch(world.host) as seen:
        done = world.run(ADDS, "rollback", answer=f"{old}\n", http_port=8090)
    upgrading.assert_closed_until_proven(seen, WAS)
    _serves_again_without_a_loss(done, ADDS)
    assert "port 8080 again" in done.stdout
    assert "8090" in done.stdout
    due = f'Set infisical_version = "{WAS}" and postgres_image = "{world.older}"'
    assert due in done.stdout
    assert upgrading.secrets(world.host) == _SECRETS
    assert sql(world.host, _POSTGRES) == "15"
    plan = world.run(WAS, "plan").stdout
    assert plan.startswith(f"~ {drilling.STATE}/compose.yaml"), "drills follow the settings"
    assert "\n1 change to make." in plan
    world.ok(WAS, "rollback", "--confirm", world.releases()[0], keep_releases=1)
    assert upgrading.secrets(world.host) == {**_SECRETS, **since}
    world.assert_converged(ADDS)
    _only_one_release_is_left(world, old)


def _only_one_release_is_left(world: Upgrading, gone: str) -> None:
    (kept,) = world.releases()
    images = world.host.run("docker images --format '{{.Tag}}' infisical-iac/kept").stdout.split()
    assert {image.rpartition("-")[0] for image in images} >= {kept}
    assert gone not in "".join(images)
    assert gone not in world.host.run(f"ls {RELEASES}").stdout


@_LONG
@pytest.mark.real
def test_a_rollback_brings_the_secrets_that_the_earlier_data_lack(world: Upgrading) -> None:
    """The release has the data of before the secret SINCE."""
    (old,) = world.releases()
    since = upgrading.secrets(world.host)
    assert "SINCE" in since
    brought = {**since, "KEY_0": "obviously-fake-changed"}
    inspection.write_secrets(world.host, "/backend", {"KEY_0": brought["KEY_0"]})
    done = world.ok(ADDS, "rollback", "--confirm", old, "--bring-writes")
    assert "Brought over: 2 secrets." in done.stdout
    assert upgrading.secrets(world.host) == brought
    assert upgrading.version(world.host) == WAS
    assert not world.host.run("ls /var/lib/infisical-upgrade/*.json", check=False).stdout
