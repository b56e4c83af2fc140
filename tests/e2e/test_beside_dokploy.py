"""On a host as Dokploy has it: what is Dokploy's stays as it is, and leads to Infisical.

Its Docker is in a Swarm. In the place of its Traefik is Caddy, which has no labels to read, but the
rules that they make, and which reaches Infisical as Traefik does, by the overlay network.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infisical_iac.ingress.caddyfile import caddyfile
from tests.e2e.conftest import FirstDeploy, copied, settled
from tests.e2e.looking import containers, reset_stack
from tests.e2e.running import deploy, infisical_iac
from tests.e2e.suite import host_suite
from tests.e2e.web import ask
from tests.staging import ingress
from tests.staging.host import StagingHost
from tests.unit.settings_of import settings_of

_SWARM = """
rm -r /etc/docker
systemctl restart docker
docker swarm init --advertise-addr 127.0.0.1
docker network create --driver overlay --attachable dokploy-network
docker run --detach --restart always --name dokploy-traefik --network dokploy-network \
    --publish 80:80 --publish 443:443 --volume /etc/dokploy/traefik:/etc/caddy:ro \
    --tmpfs /run/caddy --tmpfs /var/log/infisical-access staging/caddy:2
"""
# A line or more for each thing of Dokploy's, with when it was started.
_DOKPLOYS = """
systemctl show --property=Id,MainPID,ExecMainStartTimestamp docker.service containerd.service
docker inspect --format '{{ .Id }} {{ .State.Pid }} {{ .State.StartedAt }}' dokploy-traefik
docker network inspect --format '{{ .Id }} {{ .Name }}' dokploy-network ingress docker_gwbridge
docker node inspect --format '{{ .ID }} {{ .Status.State }}' self
docker volume ls --quiet --filter label!=com.docker.compose.project=infisical
find /etc/docker* /etc/dokploy /etc/apt/*sources* /etc/systemd/system/docker* -type f 2>/dev/null |
    sort | xargs sha256sum
dpkg-query --show 'docker*' containerd runc
"""


@pytest.fixture(scope="module")
def host(first: FirstDeploy, worker_id: str) -> Iterator[StagingHost]:
    """A host on which nothing serves but Dokploy's own."""
    first.run.ok()
    with copied(f"dokploy-{worker_id}") as one:
        reset_stack(one)
        settings = settings_of(site_url=f"https://{ingress.name(one)}", acme_ca="internal")
        text = caddyfile(settings).text.replace("127.0.0.1:8080", "infisical-infisical-1:8080")
        one.run("mkdir -p /etc/dokploy/traefik && cat > /etc/dokploy/traefik/Caddyfile", input=text)
        one.run(f"set -e; {_SWARM}")
        ingress.choose(one, "traefik")
        yield one


def test_a_deploy_leaves_all_that_is_dokploys_and_a_second_one_changes_nothing(
    host: StagingHost,
) -> None:
    before = host.run(_DOKPLOYS).stdout
    assert "/etc/docker/" not in before
    proposed = deploy(host.name, data={"ingress": "caddy", "firewall": "on"}).sentence
    assert "set ingress to 'traefik' and firewall to 'off'" in proposed
    changed = deploy(host.name).ok().changed
    assert [name for name in changed if name.startswith("Docker")] == []
    settled(host)
    assert host.run(_DOKPLOYS).stdout == before
    assert set(containers(host)) == {"infisical", "postgres", "redis"}


def test_infisical_is_reached_by_the_network_of_dokploy(host: StagingHost, tmp_path: Path) -> None:
    authority = "/data/caddy/pki/authorities/local/root.crt"
    root = tmp_path / "root.crt"
    root.write_text(host.run(f"docker exec dokploy-traefik cat {authority}").stdout)
    status, body = ask(host, "/api/status", trust=root)
    assert (status, '"message":"Ok"' in body) == (200, True)


def test_the_host_suite_is_green(host: StagingHost) -> None:
    done = host_suite(host.name)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout


def test_what_is_dokploys_outlives_infisical(host: StagingHost) -> None:
    before = host.run(_DOKPLOYS).stdout
    arguments = ("--volumes", "--no-backup", "--confirm", "staging")
    destroyed = infisical_iac(host.name, "destroy", *arguments)
    assert destroyed.returncode == 0, destroyed.stderr
    assert containers(host) == {}
    assert host.run(_DOKPLOYS).stdout == before
