"""Test the firewall: only intended ports answer, and no wrong setting locks the operator out."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.core.connection import trial_mark
from tests.e2e import backing, wrong_firewall
from tests.e2e.conftest import assert_converged, assert_converged_after_boot
from tests.e2e.drift import FIREWALL, FIREWALL_OFF
from tests.e2e.ports import HOST4, HOST6, answering
from tests.e2e.running import Run, deploy, infisical_iac
from tests.staging import access
from tests.staging.host import StagingHost

_PUBLISHED, _OF_HOST = 6000, 6001
_PORTS = (22, 80, 111, 443, 2376, 2377, 5432, 6379, 8080, _PUBLISHED, _OF_HOST)
_TABLE = "nft --stateless --terse list table inet infisical"
_FALLBACK = "infisical-firewall-fallback.service"
_SSH = {f"{HOST4}:22", f"{HOST6}:22"}


@pytest.fixture(scope="module")
def careless(deployed_host: StagingHost) -> Iterator[StagingHost]:
    """The host with two foreign containers, one published to all, one on the host's network."""
    run = "docker run --detach --restart always --entrypoint redis-server"
    serve = "--protected-mode no --bind 0.0.0.0 ::"
    image = deployed_host.run("docker images staging/redis --quiet").stdout.split()[0]
    deployed_host.run(
        f"{run} --name published --publish {_PUBLISHED}:6379 {image} {serve.replace(' ::', '')} && "
        f"{run} --name of-host --network host {image} {serve} --port {_OF_HOST}"
    )
    yield deployed_host
    deployed_host.run("docker rm --force published of-host")


def _wait_for_containers(host: StagingHost) -> None:
    host.run(
        "for n in $(seq 120); do test $(docker ps --quiet --filter name=published "
        "--filter name=of-host | wc -l) = 2 && exit 0; sleep 0.5; done; docker ps; exit 1"
    )


def test_from_another_network_only_ssh_answers_after_a_restart_of_docker_and_a_reboot(
    careless: StagingHost,
) -> None:
    rules = careless.run(_TABLE).stdout
    careless.run("nft delete table inet infisical")
    open_to_all = {f"{HOST4}:{port}" for port in (_PUBLISHED, _OF_HOST)} | {f"{HOST6}:{_OF_HOST}"}
    assert answering(careless, _PORTS) == _SSH | open_to_all
    careless.run("nft -f -", input=rules)
    assert answering(careless, _PORTS) == _SSH
    careless.run("systemctl restart docker")
    _wait_for_containers(careless)
    assert answering(careless, _PORTS) == _SSH
    careless.reboot()
    _wait_for_containers(careless)
    assert careless.run(_TABLE).stdout == rules
    assert answering(careless, _PORTS) == _SSH


def test_rules_that_do_not_load_at_boot_leave_only_ssh_open_until_a_run_repairs_them(
    deployed_host: StagingHost,
) -> None:
    rules = deployed_host.run(_TABLE).stdout
    deployed_host.run("echo 'no rule at all' >> /etc/infisical-iac/firewall.nft")
    deployed_host.reboot()
    assert "chain ssh_only" in deployed_host.run(_TABLE).stdout
    assert answering(deployed_host, _PORTS) == _SSH
    # The fallback comes before the network; Docker waits for the rules themselves.
    loaded = "systemctl show --value --property=ExecMainExitTimestampMonotonic"
    reached = "systemctl show --value --property=ActiveEnterTimestampMonotonic network-pre.target"
    at = [int(deployed_host.run(each).stdout) for each in (f"{loaded} {_FALLBACK}", reached)]
    assert 0 < at[0] <= at[1]
    for unit in ("docker.service", "infisical-firewall.service"):
        assert deployed_host.run(f"systemctl is-active {unit}", check=False).stdout != "active\n"
    said = deployed_host.run("journalctl --boot --output=cat").stdout
    assert re.search("The firewall: .*SSH", said)
    assert "the firewall on staging" in said
    rows = json.loads(infisical_iac(deployed_host.name, "status", "--json").stdout)
    [row] = [each for each in rows if each["name"] == "Firewall"]
    assert (row["ok"], "SSH" in row["text"]) == (False, True)
    # Socket activation does not start Docker either.
    assert deployed_host.run("docker ps", check=False).returncode != 0
    assert "chain ssh_only" in deployed_host.run(_TABLE).stdout
    assert deploy(deployed_host.name).ok().changed[0] == FIREWALL
    assert deployed_host.run(_TABLE).stdout == rules
    assert_converged_after_boot(deployed_host)


def _lock_out(host: StagingHost, end: str) -> Run:
    return deploy(host.name, program=("-m", "tests.e2e.wrong_firewall", end))


def test_a_firewall_that_would_lock_the_operator_out_is_rolled_back(
    deployed_host: StagingHost,
) -> None:
    before = deployed_host.run(_TABLE).stdout
    run = _lock_out(deployed_host, "proof")
    assert run.status != 0
    assert "no new connection" in run.sentence
    assert "staging" in run.sentence
    assert "was undone" in run.sentence
    assert deployed_host.run(_TABLE).stdout == before
    assert_converged(deployed_host)


def test_a_firewall_that_locked_out_a_killed_run_is_rolled_back_by_the_host(
    deployed_host: StagingHost,
) -> None:
    before = deployed_host.run(_TABLE).stdout
    assert _lock_out(deployed_host, "death").status == wrong_firewall.KILLED
    assert "dport 2222" in deployed_host.run(_TABLE).stdout
    assert not access.answers(deployed_host.directory, deployed_host.name)
    end = time.monotonic() + 60
    while not access.answers(deployed_host.directory, deployed_host.name):
        assert time.monotonic() < end, "the host still blocks SSH"
    assert deployed_host.run(_TABLE).stdout == before
    assert deployed_host.run(f"test -e {trial_mark('firewall')}", check=False).returncode == 1
    assert_converged(deployed_host)


def test_ssh_networks_without_the_operators_address_are_refused(
    deployed_host: StagingHost, tmp_path: Path
) -> None:
    elsewhere = backing.inventory(tmp_path, ssh_networks=("203.0.113.0/24",))
    run = deploy(deployed_host.name, inventory=elsewhere)
    assert run.status != 0
    assert "'ssh_networks'" in run.sentence
    assert_converged(deployed_host)


@pytest.mark.long
def test_turning_the_firewall_off_removes_only_its_own_table(
    deployed_host: StagingHost,
) -> None:
    tables = deployed_host.run("nft list tables").stdout.splitlines()
    files = deployed_host.run("ls /etc/infisical-iac").stdout.splitlines()
    off = deploy(deployed_host.name, data={"firewall": "off"}).ok()
    assert off.changed == [FIREWALL_OFF]
    left = deployed_host.run("nft list tables; ls /etc/infisical-iac").stdout.splitlines()
    own = ("table inet infisical", "firewall.nft", "firewall-fallback.nft")
    assert left == [each for each in (*tables, *files) if each not in own]
    assert deploy(deployed_host.name).ok().changed == [FIREWALL]
    assert sorted(deployed_host.run("nft list tables").stdout.splitlines()) == sorted(tables)
    assert_converged(deployed_host)
