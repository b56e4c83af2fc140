"""Test the hardening in effect: no lock-out, logins for tunnels, maintenance, lynis' rating."""

import re
import subprocess
import time

import httpx
import pytest

from infisical_iac.host import sshd_config
from infisical_iac.host.sshd_config import DROP_IN
from tests.e2e.conftest import assert_converged
from tests.e2e.drift import UPDATES
from tests.e2e.inspection import containers
from tests.e2e.running import REPOSITORY, deploy, infisical_iac
from tests.ports import free_port
from tests.staging.host import Release, StagingHost, host_image
from tests.staging.shell import run

pytestmark = pytest.mark.long

WAIVERS = REPOSITORY / "tests" / "lynis" / "waivers.prf"
LEAST_INDEX = 80


def test_an_sshd_configuration_that_blocks_all_logins_is_rolled_back(
    deployed_host: StagingHost,
) -> None:
    before = deployed_host.run(f"cat {DROP_IN}").stdout
    assert "PasswordAuthentication no" in before
    failed = deploy(deployed_host.name, program=("-m", "tests.e2e.locking_out_ssh"))
    assert failed.status == 1
    assert "no new connection" in failed.sentence
    assert "was undone" in failed.sentence
    assert deployed_host.run(f"cat {DROP_IN}").stdout == before
    assert_converged(deployed_host)


def test_a_file_that_overrides_our_sshd_settings_is_named_and_the_rest_still_planned(
    deployed_host: StagingHost,
) -> None:
    file = "/etc/ssh/sshd_config.d/00-a.conf"
    deployed_host.run(f"echo 'PasswordAuthentication yes' > {file}; rm {UPDATES}")
    deployed_host.run(
        "docker network disconnect --force infisical_databases infisical-redis-1; "
        "docker pause infisical-postgres-1"
    )
    done = infisical_iac(deployed_host.name, "plan")
    blocked = deploy(deployed_host.name)
    # Infisical's health check notices the loss of its databases only later.
    deployed_host.run("sleep 15; cd /etc/infisical && docker compose up --detach --wait 2>&1")
    left = infisical_iac(deployed_host.name, "plan")
    deployed_host.run(f"rm {file}")
    reason = f"PasswordAuthentication yes because of {file}, line 1"
    assert done.returncode == 1, done.stderr
    output = done.stdout.splitlines()
    assert f"+ {UPDATES}" in output
    assert any(
        each.startswith("~ container redis: ") and "network databases" in each for each in output
    )
    assert any(each.startswith("~ container postgres: is paused") for each in output)
    notes = [line for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert any("postgres" in note and "log in" in note for note in notes)
    (refused,) = (each for each in output if each.startswith("! Harden SSH: blocked: "))
    assert reason in refused
    assert blocked.status == 1
    assert reason in blocked.sentence
    assert left.returncode == 1
    assert left.stdout.splitlines()[-1] == "Nothing to change; 1 blocked."
    assert_converged(deployed_host)


def test_a_login_for_tunnels_reaches_infisical_and_nothing_else(
    deployed_host: StagingHost,
) -> None:
    page = (REPOSITORY / "docs/operate/people.md").read_text()
    section = page.partition("## A login for tunnels only")[2].partition("\n## ")[0]
    commands = re.findall(r"^    (.+)$", section, re.MULTILINE)[:-1]
    key = f"{deployed_host.directory}/id_ed25519"
    public = run("ssh-keygen", "-y", "-f", key).stdout.strip()
    program = "\n".join(commands).replace("ssh-ed25519 AAAA… ben@example.com", public)
    ssh = (
        *("ssh", "-F", str(deployed_host.directory / "ssh_config"), "-o", "User=tunnel"),
        *("-o", "ExitOnForwardFailure=yes"),
    )
    port = free_port()
    tunnel = (*ssh, "-N", "-L", f"{port}:127.0.0.1:8080", deployed_host.name)
    try:
        deployed_host.run(f"set -e\n{program}")
        with subprocess.Popen(tunnel) as opened:
            try:
                assert _wait_for_status(f"http://127.0.0.1:{port}/api/status") == 200
            finally:
                opened.terminate()
        shell = run(*ssh, deployed_host.name, "id", check=False)
        other = run(*ssh, "-W", "127.0.0.1:22", deployed_host.name, check=False, input="")
    finally:
        deployed_host.run("userdel --remove tunnel", check=False)
    assert (shell.returncode != 0, shell.stdout.count("uid=")) == (True, 0)
    assert other.returncode != 0
    assert "forwarding failed" in other.stderr


def _wait_for_status(url: str) -> int:
    """Return the status that an address answers with, which may take ten seconds."""
    for _ in range(40):
        try:
            return httpx.get(url).status_code
        except httpx.TransportError:
            time.sleep(0.25)
    return 0


@pytest.mark.parametrize("release", ["trixie", "bookworm"])
def test_the_opensshs_of_both_debians_understand_every_option(release: Release) -> None:
    queries = "; ".join(f"ssh -Q {kind} | sed 's/^/{kind} /'" for kind in sshd_config.QUERIES)
    options = sshd_config.desired_options(
        sshd_config.parse(_run_in_container(release, queries).splitlines()).supported,
        root_logs_in=True,
    )
    assert {"KexAlgorithms", "Ciphers", "MACs"} <= options.keys()
    prepare = f"ssh-keygen -A >/dev/null; mkdir -p /run/sshd; cat > {DROP_IN}; sshd -t && sshd -T"
    printed = _run_in_container(release, prepare, sshd_config.drop_in(options)).splitlines()
    sshd_config.refuse_overruled(options, sshd_config.parse(f"option {line}" for line in printed))


def _run_in_container(release: Release, command: str, stdin: str = "") -> str:
    container = ("docker", "run", "--rm", "--interactive", "--network", "none")
    return run(*container, host_image(release), "sh", "-ec", command, input=stdin).stdout


def test_the_maintenance_window_leaves_the_containers_running(deployed_host: StagingHost) -> None:
    before = containers(deployed_host)
    deployed_host.run("systemctl start infisical-maintenance.service")
    last = deployed_host.run("cat /var/lib/infisical-maintenance/last.json").stdout
    assert '"failure": ""' in last
    assert containers(deployed_host) == before
    assert_converged(deployed_host)


def test_lynis_rates_the_host_at_least_80_with_the_waivers(deployed_host: StagingHost) -> None:
    install = "apt-get -qq install --yes --no-install-recommends lynis"
    deployed_host.run(f"export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; {install}")
    deployed_host.run("cat > /etc/lynis/custom.prf", input=WAIVERS.read_text())
    deployed_host.run("lynis audit system --quick --quiet --no-colors")
    report = deployed_host.run("cat /var/log/lynis-report.dat").stdout.splitlines()
    deployed_host.run("apt-get -qq purge --yes lynis; rm -f /var/log/lynis*; rm -rf /etc/lynis")
    # Packages that lynis depends on stay, with a cron directory whose mode a run has to correct.
    deploy(deployed_host.name).ok()
    found = dict(line.split("=", 1) for line in report if "=" in line)
    assert int(found["hardening_index"]) >= LEAST_INDEX, "\n".join(report)
