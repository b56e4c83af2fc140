"""Test the ingress of a single host: Caddy, its drifts and failures, and no ingress."""

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infisical_iac.agent.ingress import take
from infisical_iac.agent.releases import RELEASES
from infisical_iac.core.agent import perform, question
from infisical_iac.core.errors import CommandFailed
from infisical_iac.stack import paths
from tests.browser.visit import visit
from tests.e2e import dying_script, giving_up, upgrading
from tests.e2e.backing import gateway, inventory
from tests.e2e.conftest import FirstDeploy, assert_converged, copy_first_host
from tests.e2e.dying_script import KILLED
from tests.e2e.inspection import containers, reset_stack, set_canary, write_secrets
from tests.e2e.ports import HOST4, HOST6, answering
from tests.e2e.running import PROGRAM, Done, Run, deploy, infisical_iac, plan_changes
from tests.e2e.suite import verify
from tests.e2e.upgrading import ADDS
from tests.e2e.visiting import (
    NOBODY,
    elsewhere,
    is_kept_out,
    log_in,
    make_certificate,
    read_by_service,
)
from tests.e2e.web import ask
from tests.staging import ingress
from tests.staging.host import StagingHost

FILES = "Stack | Configure the ingress"
STACK = "Stack | Run Infisical, PostgreSQL and Redis"
WATCH = "Watch | Rotate the access log"
SERVE = "Ingress | Serve a certificate"
ROTATION = "infisical-access-log.timer"
CADDYFILE = "/etc/infisical/ingress/Caddyfile"


@pytest.fixture(scope="module")
def host(first: FirstDeploy) -> Iterator[StagingHost]:
    """A host with Caddy as ingress, and a certificate of Caddy's own authority.

    Docker was installed before; Infisical was not.
    """
    first.run.ok()
    with copy_first_host("e2e-ingress") as one:
        reset_stack(one)
        ingress.choose(one, "caddy")
        deploy(one.name).ok()
        yield one


def test_caddy_serves_https_from_the_first_deploy_and_blocks_sign_up(
    host: StagingHost,
) -> None:
    assert_converged(host)
    status, body = ask(host, "/api/status")
    assert (status, '"message":"Ok"' in body) == (200, True)
    for path in ("/api/v1/admin/bootstrap", "/api/v1/admin/signup", "/api/v3/signup/email/signup"):
        assert ask(host, path, "--data", "{}")[0] == 404


def test_from_another_network_only_ssh_and_the_web_answer_after_a_restart_of_docker_and_a_reboot(
    host: StagingHost,
) -> None:
    ports = (22, 80, 111, 443, 2019, 2376, 2377, 5432, 6379, 8080)
    intended = {f"{address}:{port}" for address in (HOST4, HOST6) for port in (22, 80, 443)}
    assert answering(host, ports) == intended
    host.run("systemctl restart docker")
    assert answering(host, ports) == intended
    host.reboot()
    host.run(
        "for n in $(seq 240); do test $(docker ps --filter health=healthy --quiet | wc -l) = 4 "
        "&& exit 0; sleep 0.5; done; docker ps; exit 1"
    )
    assert answering(host, ports) == intended
    assert ask(host, "/api/status")[0] == 200
    assert_converged(host)


def test_the_host_suite_passes(host: StagingHost) -> None:
    verify(host)


def test_the_access_log_records_who_read_which_environment_and_no_secret(
    host: StagingHost,
) -> None:
    write_secrets(host, "/python-services", {"READ_FROM_OUTSIDE": "obviously-fake-value"})
    hidden = read_by_service(host, "python-service")
    assert "obviously-fake-value" in hidden
    asked = ("audit", "access", "--identity", "python-service-production", "--since", "1h")
    done = infisical_iac(host.name, *asked, "--status", "200", "--json")
    assert done.returncode == 0, done.stderr
    [read] = json.loads(done.stdout)
    assert read["at"].startswith(time.strftime("%Y-%m-%dT", time.gmtime()))
    assert (read["who"], read["proven"]) == ("python-service-production", True)
    assert (read["project"], read["environment"], read["folder"]) == (
        *("chainalign", "production"),
        "/python-services",
    )
    logs = "find /var/log/infisical-access -name 'access.log*' -type f"
    log = host.run(f"{logs} -exec zcat --force {{}} +").stdout
    assert "/api/v4/secrets" in log
    said = host.run("docker logs infisical-caddy-1 2>&1").stdout
    assert [each for each in hidden if each in log + said + done.stdout] == []


def test_failed_logins_ban_only_their_address_and_a_lost_ban_is_repaired(
    host: StagingHost,
) -> None:
    with elsewhere() as address:
        for _ in range(20):
            assert log_in(host, NOBODY, "none", "--interface", address)[0] in (401, 0)
        assert is_kept_out(host, address)
        assert ask(host, "/api/status")[0] == 200
        host.run("nft delete table inet f2b-table; systemctl disable --now -q " + ROTATION)
        rotation, fail2ban = plan_changes(host.name)[1]
        assert rotation == f"~ {ROTATION}: enabled and started"
        assert fail2ban.startswith("~ fail2ban.service: restarted")
        assert " 1 of the banned " in fail2ban
        (changed,) = deploy(host.name).ok().changed
        assert changed.startswith(WATCH)
        assert is_kept_out(host, address)
        assert_converged(host)
    host.run("fail2ban-client unban --all")


def test_a_browser_that_trusts_the_authority_accepts_the_certificate(host: StagingHost) -> None:
    name = ingress.name(host)
    seen = visit(f"https://{name}", ingress.address(host), ingress.root(host))
    assert (seen.state, seen.names) == ("secure", (name,))


# A Caddyfile without our revision, as somebody writes it by hand.
_OTHER = (
    "echo ':80' > /etc/infisical/ingress/mine; docker exec infisical-caddy-1 caddy reload "
    "--config /etc/caddy/mine --adapter caddyfile --address unix//run/caddy/admin.sock; "
    "rm /etc/infisical/ingress/mine"
)


@pytest.mark.parametrize(
    ("cause", "plan", "repairs", "restarted"),
    [
        (
            "docker rm --force infisical-caddy-1",
            ["+ container caddy", "+ certificate of "],
            [STACK],
            True,
        ),
        (f"echo '# mine' >> {CADDYFILE}", [f"~ {CADDYFILE}"], [FILES], False),
        (f"chmod 644 {CADDYFILE}", [f"~ {CADDYFILE}: mode 644 → 600"], [FILES], False),
        (
            _OTHER,
            ["~ Caddy: runs with another ", "+ certificate of "],
            [FILES],
            True,
        ),
        (
            f"echo 'broken {{' > {CADDYFILE}; docker restart infisical-caddy-1; sleep 1",
            [f"~ {CADDYFILE}", "~ container caddy: is ", "+ certificate of "],
            [FILES],
            True,
        ),
    ],
    ids=["container gone", "file edited", "file readable", "another in effect", "cannot start"],
)
def test_a_drift_is_planned_and_repaired(
    host: StagingHost, cause: str, plan: list[str], repairs: list[str], restarted: bool
) -> None:
    before = containers(host)
    host.run(cause)
    status, lines = plan_changes(host.name)
    assert status == 2
    assert len(lines) == len(plan), lines
    for line, beginning in zip(lines, plan, strict=True):
        assert line.startswith(beginning)
    # Caddy may have its certificate again before the step that serves one runs.
    changed = deploy(host.name).ok().changed
    assert [each for each in changed if not each.startswith(SERVE)] == repairs
    assert_converged(host)
    assert ask(host, "/api/status")[0] == 200
    after = containers(host)
    touched = {service for service in before if before[service] != after.get(service)}
    assert touched == ({"caddy"} if restarted else set())


def test_a_caddyfile_that_caddy_refuses_leaves_the_old_one_in_service(host: StagingHost) -> None:
    before = containers(host)
    host.run(
        "mkdir /etc/infisical/ingress.new; echo 'nonsense {' > /etc/infisical/ingress.new/Caddyfile"
    )
    with pytest.raises(CommandFailed) as refused:
        perform(question(take, image="staging/caddy:2"), doing="use it", send=host.send)
    assert "(Error: " in str(refused.value)
    there = host.run("ls -d /etc/infisical/ingress*").stdout
    assert there == "/etc/infisical/ingress\n"
    assert containers(host) == before
    assert_converged(host)


@pytest.mark.long
def test_an_own_certificate_is_served_replaced_and_removed(
    host: StagingHost, tmp_path: Path
) -> None:
    before = containers(host)
    for _ in range(2):
        own = make_certificate(host, tmp_path)
        run = deploy(host.name, "-vvv", "--debug", "--diff", data=own).ok()
        assert FILES in run.changed
        assert deploy(host.name, data=own).ok().changed == []
        assert ask(host, "/api/status", trust=tmp_path / "own.crt")[0] == 200
        private = (tmp_path / "own.key").read_text().splitlines()[1]
        assert private not in run.stdout + run.stderr
        mode = host.run("stat --format=%a /etc/infisical/ingress/tls.key").stdout
        assert mode == "600\n"
    deploy(host.name).ok()
    assert_converged(host)
    assert ask(host, "/api/status")[0] == 200
    assert host.run("ls /etc/infisical/ingress").stdout == "Caddyfile\n"
    assert containers(host) == before


@pytest.fixture
def of_kind(host: StagingHost) -> Iterator[Callable[[str], Run]]:
    """Deploy with another kind of ingress; deploy Caddy again afterwards."""

    def change(kind: str) -> Run:
        return deploy(host.name, data={"ingress": kind})

    yield change
    deploy(host.name).ok()
    assert_converged(host)


def test_ingress_none_removes_caddy_and_ingress_caddy_restores_its_authority(
    host: StagingHost, of_kind: Callable[[str], Run]
) -> None:
    authority, before = ingress.root(host).read_text(), containers(host)
    of_kind("none").ok()
    assert of_kind("none").ok().changed == []
    del before["caddy"]
    assert containers(host) == before
    assert ask(host, "/api/status", trust=host.directory / "root.crt")[0] == 0
    host.run("systemd-run --unit=other python3 -m http.server 80")
    refused = of_kind("caddy")
    host.run("systemctl stop other")
    assert refused.status != 0
    assert "port 80 " in refused.sentence
    assert "python3" in refused.sentence
    of_kind("caddy").ok()
    assert ingress.root(host).read_text() == authority
    assert ask(host, "/api/status")[0] == 200


@pytest.fixture
def later(host: StagingHost, tmp_path: Path) -> Iterator[Callable[..., Done]]:
    """Run the command with settings that ask for a later release, which migrates the database.

    The host trusts its Caddy meanwhile, so that a change asks for the public address.
    """
    upgrading.make_later(host, ADDS)
    name = ingress.name(host)
    trusted = "/usr/local/share/ca-certificates/caddy.crt"
    host.run(f"cat >{trusted}; update-ca-certificates", input=ingress.root(host).read_text())
    host.run(f"cp /etc/hosts /root/hosts; echo 127.0.0.1 {name} >>/etc/hosts")

    def run(*arguments: str, program: tuple[str, ...] = PROGRAM, **changes: object) -> Done:
        values = {
            "infisical_version": ADDS,
            "start_timeout": upgrading.start_timeout(),
            "internal_networks": (f"{gateway(host)}/32",),
            **changes,
        }
        given = (*arguments, "-i", inventory(tmp_path, **values))
        return infisical_iac(host.name, *given, program=program)

    yield run
    giving_up.forget(host)
    host.run(f"cat /root/hosts >/etc/hosts; rm {trusted} /root/hosts; update-ca-certificates")
    deploy(host.name).ok()
    assert_converged(host)
    upgrading.forget_releases(host)


def _row(done: Done, name: str) -> str:
    (row,) = (each for each in json.loads(done.stdout) if each["name"] == name)
    assert not row["ok"]
    return str(row["text"])


def _given_up(done: Done) -> tuple[int, str]:
    """Return how many writes an error reports as given up, and the volume with them."""
    found = re.search(
        r"all data of \S+Z; (\d+) writes? since \S+Z (?:is|are) in .*?(\w+) \(", done.stderr
    )
    assert done.returncode == 1, done.stderr
    assert found, done.stderr
    return int(found[1]), found[2]


@pytest.mark.long
@pytest.mark.real
def test_writes_to_a_new_version_that_fails_its_checks_are_kept_in_a_named_volume(
    host: StagingHost, later: Callable[..., Done]
) -> None:
    """Kill the run after the swap, let the new version serve, and make it fail its checks."""
    with giving_up.writing(host) as acknowledged:
        died = later("apply", "--yes", program=dying_script.program(*upgrading.SWAPPED))
        assert died.returncode == KILLED, died.stderr
        host.run("cd /etc/infisical && docker compose up --detach --wait 2>&1")
        assert upgrading.version(host) == ADDS
        for path in ("/api/status", "/login", "/api/v4/secrets"):
            assert ask(host, path) == (503, paths.TEXT)
        edge = _row(later("status", "--json"), "Edge")
        assert "`infisical-iac apply`" in edge
        host.run("sleep 2")
        set_canary(host, "altered")
        failed = later("apply", "--yes")
    writes, volume = _given_up(failed)
    assert giving_up.lost_writes(host, acknowledged, failed.stderr) == set()
    only_there = acknowledged - giving_up.serving(host)
    assert 0 < len(only_there) <= writes
    assert volume in later("rollback", "--list").stderr
    assert f"{writes} writes since" in _row(later("status", "--json"), "Given up")
    assert ask(host, "/api/status")[0] == 200


@pytest.mark.long
@pytest.mark.real
def test_a_version_accepts_no_write_and_reaches_nobody_before_it_is_proven(
    host: StagingHost, later: Callable[..., Done]
) -> None:
    """Infisical becomes healthy; Caddy never does, and then both do."""
    asleep = 'ENTRYPOINT ["sh", "-c", "trap exit TERM; sleep infinity & wait"]'
    host.run(
        "made=$(docker create staging/caddy:2) && docker commit --change "
        f"{shlex.quote(asleep)} $made staging/caddy:2.0.1 && docker rm $made"
    )
    with upgrading.watch(host) as seen, giving_up.writing(host) as acknowledged:
        failed = later("apply", "--yes", caddy_image="staging/caddy:2.0.1")
    assert failed.returncode == 1
    assert "caddy is running, health" in failed.stderr
    assert giving_up.named_volumes(failed.stderr) == giving_up.volumes(host) != set()
    assert {each.is_closed for each in seen if each.version == ADDS} == {True}
    assert acknowledged
    assert acknowledged - giving_up.serving(host) == set()
    with upgrading.watch(host) as seen:
        done = later("apply", "--yes")
    assert done.returncode == 0, done.stderr
    upgrading.assert_closed_until_proven(seen, ADDS)
    assert ask(host, "/api/status")[0] == 200
    (release,) = json.loads(later("rollback", "--list", "--json").stdout)
    _assert_a_failed_rollback_loses_no_write(host, later, release["release"])
    back = later("rollback", "--confirm", release["release"])
    assert back.returncode == 0, back.stderr
    assert upgrading.version(host) == upgrading.WAS
    assert ask(host, "/api/status")[0] == 200
    host.run("docker image rm staging/caddy:2.0.1")


def _assert_a_failed_rollback_loses_no_write(
    host: StagingHost, later: Callable[..., Done], release: str
) -> None:
    """Assert that a rollback to a release whose Caddy never becomes healthy loses no write."""
    file = f"{RELEASES}/{release}/compose.yaml"
    host.run(f"cp -p {file} /root/kept && sed -i 's,staging/caddy:2,&.0.1,' {file}")
    with giving_up.writing(host) as acknowledged:
        failed = later("rollback", "--confirm", release)
    host.run(f"mv /root/kept {file}")
    assert failed.returncode == 1
    assert "caddy is running, health" in failed.stderr
    assert acknowledged
    assert acknowledged - giving_up.serving(host) == set()
    assert upgrading.version(host) == ADDS
    assert ask(host, "/api/status")[0] == 200
