"""Test the names and contents of the secrets and configurations of stack.yaml."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import yaml

from infisical_iac.cluster.stack_file import SECRETS, configs
from infisical_iac.core.rendering import digest
from infisical_iac.stack import paths
from tests.unit.rendered_stack import render, stack_inputs, swarm_settings


def test_services_refer_to_secrets_by_name_only() -> None:
    rendered = render()
    assert rendered["secrets"] == {
        purpose: {"external": True, "name": f"{purpose}_{'0' * 12}"} for purpose in SECRETS
    }
    used = {
        each["source"] for one in rendered["services"].values() for each in one.get("secrets", [])
    }
    assert used == set(SECRETS)
    assert "PASSWORD:" not in yaml.safe_dump(
        {n: s.get("environment") for n, s in rendered["services"].items()}
    )


def test_configurations_are_named_by_their_content() -> None:
    settings = swarm_settings()
    found = configs(settings, stack_inputs(settings))
    assert all(name.endswith(f"_{digest(text)}") for name, text in found.items())
    rendered = render()
    assert {each["name"] for each in rendered["configs"].values()} == found.keys()
    assert all(each["file"] == f"./stack/{each['name']}" for each in rendered["configs"].values())
    mounted = {
        each["source"] for one in rendered["services"].values() for each in one.get("configs", [])
    }
    assert mounted == rendered["configs"].keys()


def test_a_changed_setting_changes_only_the_name_of_its_configuration() -> None:
    before, after = swarm_settings(redis_memory="256m"), swarm_settings(redis_memory="512m")
    old, new = configs(before, stack_inputs(before)), configs(after, stack_inputs(after))
    assert {name.rpartition("_")[0] for name in old.keys() ^ new.keys()} == {"redis_sh"}


def test_postgresql_keeps_acknowledged_writes() -> None:
    settings = swarm_settings()
    found = configs(settings, stack_inputs(settings))
    text = next(text for name, text in found.items() if name.startswith("patroni_yml"))
    patroni = yaml.safe_load(text)
    dcs = patroni["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] is dcs["synchronous_mode_strict"] is True
    # Patroni requires this, so that a primary gives up before another one takes over.
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]
    assert patroni["etcd3"]["hosts"] == ["etcd-1:2381", "etcd-2:2381", "etcd-3:2381"]
    assert "password" not in {
        key for each in patroni["postgresql"]["authentication"].values() for key in each
    }


def test_the_proxy_checks_each_postgresql_and_all_replicas() -> None:
    settings = swarm_settings(infisical_replicas=5)
    found = configs(settings, stack_inputs(settings))
    text = next(text for name, text in found.items() if name.startswith("haproxy_cfg"))
    assert [line for line in text.splitlines() if ":5432 " in line] == [
        f"    server postgres-{number} postgres-{number}:5432 check check-ssl verify required "
        f"ca-file /run/secrets/ca.crt verifyhost postgres-{number}"
        for number in (1, 2, 3)
    ]
    assert "on-marked-down shutdown-sessions" in text
    assert "server-template infisical 6 tasks.infisical:8080 check" in text


def test_only_the_balancers_forwarded_address_is_trusted() -> None:
    services = render(edge="load-balancer", ingress="none")["services"]
    trusted = services["infisical"]["environment"]["TRUSTED_PROXY_CIDRS"].split(",")
    assert "10.42.0.254/32" in trusted
    settings = swarm_settings(edge="load-balancer", ingress="none")
    texts = configs(settings, stack_inputs(settings))
    (haproxy,) = (text for name, text in texts.items() if name.startswith("haproxy_cfg_"))
    assert f"    http-request del-header '{paths.forged_headers()}' -m reg\n" in haproxy


def test_all_connections_of_infisical_have_keep_alives(tmp_path: Path) -> None:
    """Infisical's client of PostgreSQL sets no keep-alives, and waits without a limit."""
    settings = swarm_settings()
    texts = configs(settings, stack_inputs(settings))
    (text,) = (text for name, text in texts.items() if name.startswith("keepalive_cjs_"))
    (tmp_path / "keepalive.cjs").write_text(text)
    node = shutil.which("node")
    assert node, "install the Debian package nodejs"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        code = f"require('node:net').connect({port}, '127.0.0.1')"
        client = subprocess.Popen([node, "--require", "./keepalive.cjs", "-e", code], cwd=tmp_path)
        try:
            server.settimeout(60)
            connection, (_, theirs) = server.accept()
            with connection:
                timers = {_read_timer(theirs, port)}
                for _ in range(100):
                    if "02" in timers:
                        break
                    time.sleep(0.1)
                    timers.add(_read_timer(theirs, port))
        finally:
            client.kill()
            client.wait()
    assert "02" in timers, timers


def _read_timer(port: int, peer: int) -> str:
    """Return the kind of timer of a loopback connection; 02 is for keep-alives."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = (f"0100007F:{port:04X}", f"0100007F:{peer:04X}")
    return next((row[5][:2] for row in rows if (row[1], row[2]) == ends), "none")
