"""Test a deploy next to Dokploy, which is not changed and routes to Infisical.

Dokploy's Docker is in a Swarm. Another Caddy stands in for Dokploy's Traefik: it proxies to
Infisical's Caddy over the overlay network, and sends the secret that Traefik finds in a label.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infisical_iac.stack.ingress_kinds import SECRET_HEADER, SECRET_LABEL
from tests.e2e import backing, upgrading
from tests.e2e.conftest import FirstDeploy, assert_converged, copy_first_host
from tests.e2e.inspection import containers, reset_stack
from tests.e2e.running import deploy, infisical_iac
from tests.e2e.suite import verify
from tests.e2e.upgrading import ADDS
from tests.e2e.web import ask
from tests.staging import ingress
from tests.staging.host import StagingHost

pytestmark = pytest.mark.long

_SWARM = """
rm -r /etc/docker
systemctl restart docker
docker swarm init --advertise-addr 127.0.0.1
docker network create --driver overlay --attachable dokploy-network
docker run --detach --restart always --name dokploy-traefik --network dokploy-network \
    --publish 80:80 --publish 443:443 --volume /etc/dokploy/traefik:/etc/caddy:ro \
    --tmpfs /run/caddy --tmpfs /var/log/infisical-access staging/caddy:2
"""
_TRAEFIKS = """
{{
	admin unix//run/caddy/admin.sock
}}
https://{name} {{
	tls internal
	header {{
		-Server
		-Via
		defer
	}}
	reverse_proxy infisical-caddy-1:8080 {{
		header_up {header} none
	}}
}}
"""
# One line or more for each of Dokploy's resources, with its start time. The firewall of the copied
# host is left out.
_DOKPLOYS = r"""
systemctl show --property=Id,MainPID,ExecMainStartTimestamp docker.service containerd.service
docker inspect --format '{{ .Id }} {{ .State.Pid }} {{ .State.StartedAt }}' dokploy-traefik
docker network inspect --format '{{ .Id }} {{ .Name }}' dokploy-network ingress docker_gwbridge
docker node inspect --format '{{ .ID }} {{ .Status.State }}' self
docker volume ls --quiet --filter label!=com.docker.compose.project=infisical
find /etc/docker* /etc/dokploy /etc/apt/*sources* /etc/systemd/system/docker* -type f \
    ! -name infisical-firewall.conf 2>/dev/null | sort | xargs sha256sum
dpkg-query --show 'docker*' containerd runc
"""


_KEY = "$(cat /etc/infisical/keys/edge_secret)"


def _read_label(host: StagingHost) -> None:
    """Make the other Caddy send the secret, as Traefik does with the one in the label."""
    place = f'{{{{ index .Config.Labels "{SECRET_LABEL}" }}}}'
    host.run(
        f"set -e; secret=$(docker inspect --format '{place}' infisical-caddy-1); "
        f'test "$secret" = "{_KEY}"; '
        f'sed -i "s|header_up {SECRET_HEADER} .*|header_up {SECRET_HEADER} $secret|" '
        "/etc/dokploy/traefik/Caddyfile; chmod 600 /etc/dokploy/traefik/Caddyfile; "
        "docker exec dokploy-traefik caddy reload --config /etc/caddy/Caddyfile "
        "--adapter caddyfile --address unix//run/caddy/admin.sock"
    )


def _status(host: StagingHost, path: str = "/api/status", *options: str) -> int:
    authority = "/data/caddy/pki/authorities/local/root.crt"
    root = host.directory / "dokploy.crt"
    root.write_text(host.run(f"docker exec dokploy-traefik cat {authority}").stdout)
    return ask(host, path, "--path-as-is", *options, trust=root)[0]


@pytest.fixture(scope="module")
def host(first: FirstDeploy, worker_id: str) -> Iterator[StagingHost]:
    """A host on which only Dokploy's containers run."""
    first.run.ok()
    with copy_first_host(f"dokploy-{worker_id}") as one:
        reset_stack(one)
        text = _TRAEFIKS.format(name=ingress.name(one), header=SECRET_HEADER)
        one.run("mkdir -p /etc/dokploy/traefik && cat > /etc/dokploy/traefik/Caddyfile", input=text)
        one.run(f"set -e; {_SWARM}")
        ingress.choose(one, "traefik")
        yield one


def test_a_deploy_changes_no_resource_of_dokploy_and_a_second_deploy_changes_nothing(
    host: StagingHost,
) -> None:
    before = host.run(_DOKPLOYS).stdout
    assert "/etc/docker/" not in before
    proposed = deploy(host.name, data={"ingress": "caddy", "firewall": "on"}).sentence
    assert "ingress to 'traefik'" in proposed
    assert "firewall to 'off'" in proposed
    changed = deploy(host.name).ok().changed
    assert [name for name in changed if name.startswith("Docker")] == []
    assert_converged(host)
    assert host.run(_DOKPLOYS).stdout == before
    assert set(containers(host)) == {"infisical", "postgres", "redis", "caddy"}
    # Requests without the secret are refused, even from Traefik's network.
    assert _status(host) == 403


def test_infisical_is_reached_over_dokploys_network(host: StagingHost) -> None:
    _read_label(host)
    assert _status(host) == 200
    assert _status(host, "/api/v1/admin/bootstrap;/../../../status") == 400
    assert _status(host, "/api/v1/admin/bootstrap") == 404
    assert _status(host, "/api/v4/secrets", "--header", "Authorization: Xearer x") == 401
    found = host.run(f"grep -c {_KEY} /etc/infisical/compose.yaml", check=False)
    assert found.stdout == "0\n"


def test_a_deploy_puts_caddy_between_traefik_and_an_infisical_of_an_older_version(
    host: StagingHost,
) -> None:
    stack = yaml.safe_load(host.run("cat /etc/infisical/compose.yaml").stdout)
    caddy, infisical = stack["services"].pop("caddy"), stack["services"]["infisical"]
    infisical["labels"] = {
        name: value for name, value in caddy["labels"].items() if name != SECRET_LABEL
    }
    infisical["networks"] = ["edge", "databases", "proxy"]
    host.run("cat > /etc/infisical/compose.yaml", input=yaml.safe_dump(stack))
    host.run(
        "cd /etc/infisical && rm -r keys/edge_secret ingress && sed -i /EDGE_SECRET/d .env && "
        "docker compose --project-name infisical up --detach --wait --remove-orphans"
    )
    assert "caddy" not in containers(host)
    before = host.run(_DOKPLOYS).stdout
    deploy(host.name).ok()
    assert_converged(host)
    assert host.run(_DOKPLOYS).stdout == before
    _read_label(host)
    assert _status(host) == 200


def test_a_new_version_is_closed_until_it_is_proven(host: StagingHost, tmp_path: Path) -> None:
    upgrading.make_later(host, ADDS)
    given = ("-i", backing.inventory(tmp_path, infisical_version=ADDS))
    with upgrading.watch(host) as seen:
        done = infisical_iac(host.name, "apply", "--yes", *given)
    assert done.returncode == 0, done.stderr
    upgrading.assert_closed_until_proven(seen, ADDS)
    assert _status(host) == 200
    back = infisical_iac(host.name, "rollback", "--confirm", _release(host, given), *given)
    assert back.returncode == 0, back.stderr
    assert _status(host) == 200
    upgrading.forget_releases(host)
    assert_converged(host)


def _release(host: StagingHost, given: tuple[str, ...]) -> str:
    (one,) = json.loads(infisical_iac(host.name, "rollback", "--list", "--json", *given).stdout)
    return str(one["release"])


def test_the_host_suite_passes(host: StagingHost) -> None:
    verify(host, "setting 'hardening' is off")


def test_plan_and_status_name_the_settings_that_are_off_next_to_dokploy(host: StagingHost) -> None:
    """The firewall and fail2ban are set for staging hosts, so they are not named."""
    planned = infisical_iac(host.name, "plan").stderr
    shown = infisical_iac(host.name, "status").stdout
    for text in (planned, shown):
        assert 'hardening = "on"' in text
        assert 'maintenance_window = "Sun' in text


def test_resources_of_dokploy_survive_the_removal_of_infisical(host: StagingHost) -> None:
    before = host.run(_DOKPLOYS).stdout
    arguments = ("--volumes", "--no-backup", "--confirm", "staging")
    destroyed = infisical_iac(host.name, "destroy", *arguments)
    assert destroyed.returncode == 0, destroyed.stderr
    assert containers(host) == {}
    assert host.run(_DOKPLOYS).stdout == before
