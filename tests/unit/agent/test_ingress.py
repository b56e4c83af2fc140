"""Test how Caddy is inspected, and that files which it refuses leave the old ones in service."""

import time
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import ingress
from infisical_iac.agent.ingress import ServedIngress, WebPorts
from infisical_iac.agent.runner import Output
from infisical_iac.core.agent import question
from tests.unit.agent.fake_runner import (
    FakeRunner,
    answer,
    docker_answers,
    docker_container,
)

_PEM = "-----BEGIN CERTIFICATE-----\nZmFrZQ==\n-----END CERTIFICATE-----\n"
_ON_HOST: dict[str, Any] = {"NetworkSettings": {"Networks": {"host": {}}}}
_IN_DOCKER: dict[str, Any] = {
    "NetworkSettings": {"Networks": {"infisical-edge": {"IPAddress": "172.20.0.2"}}}
}


@pytest.fixture(autouse=True)
def _wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def _caddy(state: str = "running", **more: Any) -> dict[str, str]:
    fields = more or _ON_HOST
    return docker_answers(
        docker_container("caddy1", project="infisical", service="caddy", state=state, **fields)
    )


def _inspect(answers: dict[str, Any]) -> ServedIngress:
    return ingress.inspect(FakeRunner(answers=answers), site="a.example.com", port=443)


@pytest.mark.parametrize(
    ("answers", "revision"),
    [
        ({**_caddy(), "curl": "abc\n"}, "abc"),
        ({**_caddy(**_IN_DOCKER), "docker exec caddy1 wget": "abc"}, "abc"),
        ({**_caddy(**_IN_DOCKER), "curl": "of another"}, "none"),
        ({**_caddy(), "curl": Output(7)}, "none"),
        ({**_caddy("exited"), "curl": Output(7)}, "stopped"),
        ({"docker ps": "", "curl": Output(7)}, "stopped"),
        ({}, "stopped"),
    ],
)
def test_the_revision_is_the_running_caddys(answers: dict[str, Any], revision: str) -> None:
    assert _inspect(answers) == ServedIngress(revision)


def test_the_served_certificate_is_read_also_if_caddy_is_another_program() -> None:
    host = FakeRunner(answers={"openssl s_client": f"CONNECTED\n{_PEM}---\n"})
    found = ingress.inspect(host, site="a.example.com", port=8443)
    assert found == ServedIngress("stopped", _PEM)
    assert host.ran[-1][0].endswith("-connect 127.0.0.1:8443 -servername a.example.com")


@pytest.fixture
def host(tmp_path: Path) -> FakeRunner:
    """A host whose Caddy has a certificate of the user's, and new files without one."""
    answers = {**_caddy(), "curl": "abc", "docker run": "", "docker exec": "", "docker restart": ""}

    class Host(FakeRunner):
        def run(self, words: Any, **more: Any) -> Output:
            return super(FakeRunner, self).run(words) if words[0] == "cp" else super().run(words)

    made = Host(tmp_path, answers=answers)
    for name in ("Caddyfile", "tls.crt", "tls.key"):
        made.write(f"/etc/infisical/ingress/{name}", "old: /etc/caddy/tls")
    made.write("/etc/infisical/ingress.new/Caddyfile", "new")
    return made


def _files(host: FakeRunner) -> dict[str, str]:
    root = host.path("/etc/infisical")
    return {str(each.relative_to(root)): each.read_text() for each in root.glob("ingress*/*")}


_OLD = {f"ingress/{each}": "old: /etc/caddy/tls" for each in ("Caddyfile", "tls.crt", "tls.key")}


def test_new_files_replace_the_old_ones_and_a_certificate_that_they_do_not_name(
    host: FakeRunner,
) -> None:
    ingress.take(host, image="caddy:2")
    assert _files(host) == {"ingress/Caddyfile": "new"}
    commands = [command for command, _ in host.ran]
    assert any("--network none" in each and " caddy validate " in each for each in commands)
    assert commands[-1].startswith("docker exec caddy1 caddy reload ")


@pytest.mark.parametrize("refuses", ["docker run", "docker exec"])
def test_files_that_caddy_refuses_leave_the_old_ones_in_service(
    host: FakeRunner, refuses: str
) -> None:
    answers = {refuses: Output(1, "", "Error: adapting\n"), **host.answers}
    answers[refuses] = Output(1, "", "Error: adapting\n")
    host = type(host)(host.root, answers=answers)
    with pytest.raises(RuntimeError) as refused:
        ingress.take(host, image="caddy:2")
    assert "Error: adapting" in refused.value.args[0].message
    assert _files(host) == _OLD


def test_a_certificate_stays_if_the_new_caddyfile_can_not_be_read(host: FakeRunner) -> None:
    """It could name the certificate."""
    caddyfile = host.path("/etc/infisical/ingress.new/Caddyfile")
    caddyfile.unlink()
    host.write("/etc/infisical/ingress.new/another", "")
    host.path("/etc/infisical/ingress/Caddyfile").unlink()
    host.path("/etc/infisical/ingress/Caddyfile").mkdir()
    with pytest.raises(IsADirectoryError):
        ingress.take(host, image="caddy:2")
    assert host.path("/etc/infisical/ingress/tls.key").exists()


def test_a_caddy_that_does_not_answer_is_restarted(host: FakeRunner) -> None:
    host = type(host)(host.root, answers={**host.answers, "curl": Output(7)})
    ingress.take(host, image="caddy:2")
    assert host.ran[-1][0] == "docker restart caddy1"
    assert _files(host) == {"ingress/Caddyfile": "new"}


def test_a_certificate_is_waited_for() -> None:
    host = FakeRunner(answers={"openssl": _PEM})
    assert ingress.await_certificate(host, name="a.example.com", port=443, seconds=0) == ""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ('{"level":"error","msg":"old"}\n{"level":"error","msg":"new"}\n{"level":"info"}\n', "new"),
        ("", "no reason"),
    ],
)
def test_a_missing_certificate_is_explained_by_caddys_last_error(log: str, reason: str) -> None:
    host = FakeRunner(answers={**_caddy(), "docker logs": log})
    said = ingress.await_certificate(host, name="a.example.com", port=443, seconds=0)
    assert reason in said


_DOCKER_PS = "docker ps --format {{json .Names}} --filter publish="
_BOTH = f"{_DOCKER_PS}80/tcp --filter publish=443/tcp"
_NGINX = 'LISTEN 0 511 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=70,fd=6),("nginx",pid=71,fd=6))\n'
_OURS = 'LISTEN 0 4096 *:443 *:* users:(("caddy",pid=7,fd=8))\n'
_OTHER_CADDY = 'LISTEN 0 4096 *:443 *:* users:(("caddy",pid=77,fd=8))\n'


def _web_ports(**answers: str | Output) -> WebPorts:
    networks = '{"name":"bridge","id":"b1","internal":"false","project":""}\n'
    named = {_BOTH: answers.pop("both", ""), f"{_DOCKER_PS}80/tcp": answers.pop("port80", "")}
    known = {**named, _DOCKER_PS: answers.pop("port443", ""), "docker network ls": networks}
    return answer(question(ingress.web_ports), FakeRunner(answers={**known, **answers}))


def test_this_projects_caddy_is_no_holder_of_the_web_ports() -> None:
    found = _web_ports(ss=_OURS, **_caddy())
    assert found == WebPorts({}, frozenset({"bridge"}))


def test_programs_that_hold_the_web_ports_are_named() -> None:
    assert _web_ports(ss=f"{_NGINX}{_OURS}", **_caddy()).holders == {80: "nginx"}
    # A Caddy of somebody else's has another process.
    assert _web_ports(ss=_OTHER_CADDY, **_caddy()).holders == {443: "caddy"}
    assert _web_ports(ss=_OTHER_CADDY, **{"docker ps": ""}).holders == {443: "caddy"}


def test_a_caddy_is_recognized_by_its_revision_while_docker_is_stopped() -> None:
    stopped: dict[str, str | Output] = {"docker ps": Output(1), "curl": "abc"}
    assert _web_ports(ss=_OURS, **stopped).holders == {}
    assert _web_ports(ss=f"{_NGINX}{_OURS}", **stopped).holders == {80: "nginx"}


def test_a_container_that_publishes_a_web_port_is_named() -> None:
    published = '"dokploy-traefik"\n'
    proxies = 'LISTEN 0 4096 0.0.0.0:443 0.0.0.0:* users:(("docker-proxy",pid=9,fd=4))\n'
    found = _web_ports(both=published, port443=published, ss=proxies)
    assert found.holders == {443: "container dokploy-traefik"}


def test_a_listener_without_a_readable_process_is_described_by_its_line() -> None:
    line = "LISTEN 0 511 0.0.0.0:80 0.0.0.0:*"
    assert _web_ports(ss=f"{line}\n", **{"docker ps": Output(1)}).holders == {80: line}


def test_a_host_without_docker_has_no_networks() -> None:
    assert ingress.web_ports(FakeRunner()) == WebPorts()
