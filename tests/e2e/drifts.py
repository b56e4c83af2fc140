"""What may go wrong on a deployed host, and which operations repair it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infisical_iac.api import identities, instance
from infisical_iac.api.client import Client
from tests.e2e.looking import administrator, deployer
from tests.staging.host import StagingHost

PACKAGES = "Base | Install the base packages"
CONFIGURE = "Base | Configure updates, kernel and core dumps"
KERNEL = "Base | Apply kernel parameters, turn off core dumps and swap"
UNITS = "Base | Keep clock and security updates running"
ENGINE_CONFIGURATION = "Docker | Configure the Docker engine"
ENGINE_PACKAGES = "Docker | Install Docker"
ENGINE = "Docker | Keep Docker running"
KEYS = "Stack | Make keys and passwords on the host"
STACK = "Stack | Run Infisical, PostgreSQL and Redis"
BOOTSTRAP = "Bootstrap | Make the administrator and the deployer, close sign-up"
WORKSPACE = "Workspace | Bring Infisical to what group_data/chainalign.yaml says"
CREDENTIALS = "Credentials | Store a client secret per service and environment"
CANARY = "Canary | Keep a canary among the secrets"
BACKUP = "Backup | Configure backups and drills with their timers"

_INSIDE = "? the inside of Infisical can be looked at once it runs"
_CONTAINERS = "? the containers can be"
# A file that the deploy writes and nothing else depends on.
UPDATES = "/etc/apt/apt.conf.d/52infisical-iac"
BACKUP_TIMER = "infisical-backup.timer"
DRILL_TIMER = "infisical-drill.timer"


@dataclass(frozen=True)
class Drift:
    """A drift, and what is expected of it.

    Attributes:
        cause: brings it about.
        plan: how the lines of the plan begin, all of them.
        repairs: exactly the operations that change something.
        restarted: the services whose containers may be others, or started anew, afterwards.
        is_of_kernel: whether it is in the kernel, which all hosts of this machine share.
    """

    cause: Callable[[StagingHost], object]
    plan: tuple[str, ...]
    repairs: tuple[str, ...]
    restarted: tuple[str, ...] = ()
    is_of_kernel: bool = False


def _shell(command: str) -> Callable[[StagingHost], object]:
    return lambda host: host.run(command)


def _inside(act: Callable[[Client, dict[str, Any]], object]) -> Callable[[StagingHost], object]:
    def cause(host: StagingHost) -> None:
        with deployer(host) as client:
            act(client, client.get("/api/v1/projects/slug/chainalign"))

    return cause


def _environment(project: dict[str, Any], slug: str) -> str:
    path = f"/api/v1/projects/{project['id']}/environments"
    return next(f"{path}/{each['id']}" for each in project["environments"] if each["slug"] == slug)


def _identity(client: Client, name: str) -> str:
    found = identities.find(client, identities.organization_id(client), name)
    assert found is not None
    return found.id


def _rename_environment(client: Client, project: dict[str, Any]) -> None:
    client.patch(_environment(project, "staging"), json={"slug": "qa", "name": "QA"})


def _delete_environment(client: Client, project: dict[str, Any]) -> None:
    client.delete(_environment(project, "development"))


def _delete_folder(client: Client, project: dict[str, Any]) -> None:
    place = {"projectId": project["id"], "environment": "staging"}
    listed = client.get("/api/v2/folders", params={**place, "path": "/"})["folders"]
    folder = next(each["id"] for each in listed if each["name"] == "backend")
    client.delete(f"/api/v2/folders/{folder}", json={**place, "path": "/"})


def _widen_privilege(client: Client, project: dict[str, Any]) -> None:
    path = "/api/v2/identity-project-additional-privilege"
    identity = _identity(client, "backend-staging")
    params = {"identityId": identity, "projectId": project["id"]}
    (privilege,) = client.get(path, params=params)["privileges"]
    everything = [{"subject": "secrets", "action": ["describeSecret", "readValue"]}]
    body = {"slug": privilege["slug"], "type": {"isTemporary": False}, "permissions": everything}
    client.patch(f"{path}/{privilege['id']}", json=body)


def _change_ttl(client: Client, _: dict[str, Any]) -> None:
    identities.patch_universal_auth(client, _identity(client, "backend-production"), 7200, 86400)


def _remove_membership(client: Client, project: dict[str, Any]) -> None:
    identity = _identity(client, "python-service-staging")
    client.delete(f"/api/v1/projects/{project['id']}/memberships/identities/{identity}")


def _revoke_secret(client: Client, _: dict[str, Any]) -> None:
    identity = _identity(client, "backend-production")
    (secret,) = identities.client_secrets(client, identity)
    identities.revoke_client_secret(client, identity, secret.id)


def _alter_canary(client: Client, _: dict[str, Any]) -> None:
    project = client.get("/api/v1/projects/slug/infisical-iac-canary")["id"]
    place = {"projectId": project, "environment": "prod", "secretPath": "/"}
    client.patch("/api/v4/secrets/CANARY", json={**place, "secretValue": "dead"})


def _open_signup(host: StagingHost) -> None:
    with administrator(host) as client:
        client.patch("/api/v1/admin/config", json={"allowSignUp": True})
        assert instance.signup_is_open(client)


DRIFTS: dict[str, Drift] = {
    "container stopped": Drift(
        _shell("docker stop infisical-infisical-1"),
        ("~ container infisical: is exited", _INSIDE),
        (STACK,),
        ("infisical",),
    ),
    # Infisical waits for Redis to be healthy only when it is made itself.
    "container removed": Drift(
        _shell("docker rm --force infisical-redis-1"),
        ("+ container redis", _INSIDE),
        (STACK,),
        ("redis",),
    ),
    # Infisical's health follows the database's; Compose starts it again only if it had stopped.
    "database stopped": Drift(
        _shell("docker stop infisical-postgres-1"),
        ("~ container postgres: is exited", _INSIDE),
        (STACK,),
        ("postgres",),
    ),
    "database's container removed": Drift(
        _shell("docker rm --force infisical-postgres-1"),
        ("+ container postgres", _INSIDE),
        (STACK,),
        ("postgres",),
    ),
    "compose file edited": Drift(
        _shell("sed -i 's/mem_limit: 256m/mem_limit: 512m/' /etc/infisical/compose.yaml"),
        ("~ /etc/infisical/compose.yaml",),
        (STACK,),
    ),
    "compose file edited and applied": Drift(
        _shell(
            "cd /etc/infisical && sed -i 's/mem_limit: 256m/mem_limit: 250m/' compose.yaml && "
            "docker compose --progress quiet up --detach"
        ),
        ("~ /etc/infisical/compose.yaml", "~ container redis: runs with another configuration"),
        (STACK,),
        ("redis", "infisical"),
    ),
    "key file's mode changed": Drift(
        _shell("chmod 644 /etc/infisical/keys/encryption_key"),
        ("~ /etc/infisical/keys/encryption_key: readable by others",),
        (KEYS,),
    ),
    "Docker stopped": Drift(
        _shell("systemctl stop docker.socket docker.service"),
        ("~ docker.service: started", _CONTAINERS, _INSIDE),
        (ENGINE,),
    ),
    "Docker's configuration edited": Drift(
        _shell("echo '{\"live-restore\": true}' > /etc/docker/daemon.json"),
        ("~ /etc/docker/daemon.json", "~ docker.service: restarted"),
        (ENGINE_CONFIGURATION, ENGINE),
    ),
    "package removed": Drift(
        _shell("apt-get -qq purge --yes curl"), ("+ package curl",), (PACKAGES,)
    ),
    "Compose removed": Drift(
        _shell("apt-get -qq purge --yes docker-compose"),
        ("+ package docker-compose", _CONTAINERS),
        (ENGINE_PACKAGES,),
    ),
    "update unit stopped": Drift(
        _shell("systemctl stop unattended-upgrades"),
        ("~ unattended-upgrades.service: started",),
        (UNITS,),
    ),
    "update configuration lost": Drift(
        _shell(f"rm {UPDATES}"),
        (f"+ {UPDATES}",),
        (CONFIGURE,),
    ),
    "kernel parameter changed": Drift(
        _shell("sysctl -qw fs.suid_dumpable=1"),
        ("~ kernel parameter fs.suid_dumpable: 1 → 0",),
        (KERNEL,),
        is_of_kernel=True,
    ),
    "sign-up opened": Drift(_open_signup, ("~ sign-up: open → closed",), (BOOTSTRAP,)),
    "deployer lost": Drift(
        _shell("rm /etc/infisical/deployer.env"),
        ("~ identity infisical-iac-deployer: can't log in → can", _INSIDE),
        (BOOTSTRAP,),
    ),
    "environment renamed": Drift(
        _inside(_rename_environment),
        ("~ environment staging: slug qa → staging, name QA → Staging",),
        (WORKSPACE,),
    ),
    "environment deleted": Drift(
        _inside(_delete_environment),
        ("~ environment development: deleted → restored", "~ environments: order"),
        (WORKSPACE,),
    ),
    "folder deleted": Drift(
        _inside(_delete_folder),
        ("+ folder /backend in staging", "+ import of /shared into /backend in staging"),
        (WORKSPACE,),
    ),
    "privilege widened": Drift(
        _inside(_widen_privilege),
        (
            "~ privilege read-own-folder of backend-staging: permissions → "
            "read /backend and /shared in staging only",
        ),
        (WORKSPACE,),
    ),
    "TTL changed": Drift(
        _inside(_change_ttl),
        ("~ identity backend-production: accessTokenTTL 7200 → 1800",),
        (WORKSPACE,),
    ),
    "membership removed": Drift(
        _inside(_remove_membership),
        (
            "+ project membership of python-service-staging: role no-access",
            "+ privilege read-own-folder of python-service-staging",
        ),
        (WORKSPACE,),
    ),
    "canary altered": Drift(
        _inside(_alter_canary), ("~ canary: secret CANARY: altered → alive",), (CANARY,)
    ),
    "client secret revoked": Drift(
        _inside(_revoke_secret), ("+ credentials backend.production",), (CREDENTIALS,)
    ),
    "credentials lost": Drift(
        _shell("rm /etc/infisical/credentials/backend.staging.env"),
        (
            "+ credentials backend.staging",
            "- client secrets of backend.staging that no file holds: 1",
        ),
        (CREDENTIALS,),
    ),
    "credentials damaged": Drift(
        _shell("sed -i 's/^INFISICAL_CLIENT_SECRET=./&x/' /etc/infisical/credentials/backend.*"),
        (
            "+ credentials backend.development",
            "- client secrets of backend.development that no file holds: 1",
            "+ credentials backend.staging",
            "- client secrets of backend.staging that no file holds: 1",
            "+ credentials backend.production",
            "- client secrets of backend.production that no file holds: 1",
        ),
        (CREDENTIALS,),
    ),
    "restic removed": Drift(
        _shell("apt-get -qq purge --yes restic"), ("+ package restic",), (PACKAGES,)
    ),
    "backup timers stopped": Drift(
        _shell(f"systemctl disable --now --quiet {BACKUP_TIMER} {DRILL_TIMER}"),
        (f"~ {BACKUP_TIMER}: enabled and started", f"~ {DRILL_TIMER}: enabled and started"),
        (BACKUP,),
    ),
    "backup timer's unit edited": Drift(
        _shell(f"echo OnCalendar=yearly >> /etc/systemd/system/{BACKUP_TIMER}"),
        (f"~ /etc/systemd/system/{BACKUP_TIMER}",),
        (BACKUP,),
    ),
    "backup script edited": Drift(
        _shell("echo exit >> /usr/local/lib/infisical-iac/backup.sh"),
        ("~ /usr/local/lib/infisical-iac/backup.sh",),
        (BACKUP,),
    ),
    "backup configuration lost": Drift(
        _shell("rm -r /etc/infisical/backup"),
        ("+ /etc/infisical/backup/backup.conf", "+ /etc/infisical/backup/local.conf"),
        (BACKUP,),
    ),
    "backup credentials left over": Drift(
        _shell("touch /etc/infisical/backup/gone.env"),
        ("- /etc/infisical/backup/gone.env: no target needs it",),
        (BACKUP,),
    ),
}
