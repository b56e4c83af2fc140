"""What may go wrong on a deployed host, and which operations repair it."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e import drift_causes as causes
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


DRIFTS: dict[str, Drift] = {
    "container stopped": Drift(
        causes.shell("docker stop infisical-infisical-1"),
        ("~ container infisical: is exited", _INSIDE),
        (STACK,),
        ("infisical",),
    ),
    # Infisical waits for Redis to be healthy only when it is made itself.
    "container removed": Drift(
        causes.shell("docker rm --force infisical-redis-1"),
        ("+ container redis", _INSIDE),
        (STACK,),
        ("redis",),
    ),
    # Infisical's health follows the database's; Compose starts it again only if it had stopped.
    "database stopped": Drift(
        causes.shell("docker stop infisical-postgres-1"),
        ("~ container postgres: is exited", _INSIDE),
        (STACK,),
        ("postgres",),
    ),
    "database's container removed": Drift(
        causes.shell("docker rm --force infisical-postgres-1"),
        ("+ container postgres", _INSIDE),
        (STACK,),
        ("postgres",),
    ),
    "compose file edited": Drift(
        causes.shell("sed -i 's/mem_limit: 256m/mem_limit: 512m/' /etc/infisical/compose.yaml"),
        ("~ /etc/infisical/compose.yaml",),
        (STACK,),
    ),
    "compose file edited and applied": Drift(
        causes.shell(
            "cd /etc/infisical && sed -i 's/mem_limit: 256m/mem_limit: 250m/' compose.yaml && "
            "docker compose --progress quiet up --detach"
        ),
        ("~ /etc/infisical/compose.yaml", "~ container redis: runs with another configuration"),
        (STACK,),
        ("redis", "infisical"),
    ),
    "key file's mode changed": Drift(
        causes.shell("chmod 644 /etc/infisical/keys/encryption_key"),
        ("~ /etc/infisical/keys/encryption_key: readable by others",),
        (KEYS,),
    ),
    "Docker stopped": Drift(
        causes.shell("systemctl stop docker.socket docker.service"),
        ("~ docker.service: started", _CONTAINERS, _INSIDE),
        (ENGINE,),
    ),
    "Docker's configuration edited": Drift(
        causes.shell("echo '{\"live-restore\": true}' > /etc/docker/daemon.json"),
        ("~ /etc/docker/daemon.json", "~ docker.service: restarted"),
        (ENGINE_CONFIGURATION, ENGINE),
    ),
    "package removed": Drift(
        causes.shell("apt-get -qq purge --yes curl"), ("+ package curl",), (PACKAGES,)
    ),
    "Compose removed": Drift(
        causes.shell("apt-get -qq purge --yes docker-compose"),
        ("+ package docker-compose", _CONTAINERS),
        (ENGINE_PACKAGES,),
    ),
    "update unit stopped": Drift(
        causes.shell("systemctl stop unattended-upgrades"),
        ("~ unattended-upgrades.service: started",),
        (UNITS,),
    ),
    "update configuration lost": Drift(
        causes.shell(f"rm {UPDATES}"),
        (f"+ {UPDATES}",),
        (CONFIGURE,),
    ),
    "kernel parameter changed": Drift(
        causes.shell("sysctl -qw fs.suid_dumpable=1"),
        ("~ kernel parameter fs.suid_dumpable: 1 → 0",),
        (KERNEL,),
        is_of_kernel=True,
    ),
    "sign-up opened": Drift(causes.open_signup, ("~ sign-up: open → closed",), (BOOTSTRAP,)),
    "deployer lost": Drift(
        causes.shell("rm /etc/infisical/deployer.env"),
        ("~ identity infisical-iac-deployer: can't log in → can", _INSIDE),
        (BOOTSTRAP,),
    ),
    "environment renamed": Drift(
        causes.inside(causes.rename_environment),
        ("~ environment staging: slug qa → staging, name QA → Staging",),
        (WORKSPACE,),
    ),
    "environment deleted": Drift(
        causes.inside(causes.delete_environment),
        ("~ environment development: deleted → restored", "~ environments: order"),
        (WORKSPACE,),
    ),
    "folder deleted": Drift(
        causes.inside(causes.delete_folder),
        ("+ folder /backend in staging", "+ import of /shared into /backend in staging"),
        (WORKSPACE,),
    ),
    "privilege widened": Drift(
        causes.inside(causes.widen_privilege),
        (
            "~ privilege read-own-folder of backend-staging: permissions → "
            "read /backend and /shared in staging only",
        ),
        (WORKSPACE,),
    ),
    "TTL changed": Drift(
        causes.inside(causes.change_ttl),
        ("~ identity backend-production: accessTokenTTL 7200 → 1800",),
        (WORKSPACE,),
    ),
    "membership removed": Drift(
        causes.inside(causes.remove_membership),
        (
            "+ project membership of python-service-staging: role no-access",
            "+ privilege read-own-folder of python-service-staging",
        ),
        (WORKSPACE,),
    ),
    "canary altered": Drift(
        causes.inside(causes.alter_canary), ("~ canary: secret CANARY: altered → alive",), (CANARY,)
    ),
    "client secret revoked": Drift(
        causes.inside(causes.revoke_secret), ("+ credentials backend.production",), (CREDENTIALS,)
    ),
    "credentials lost": Drift(
        causes.shell("rm /etc/infisical/credentials/backend.staging.env"),
        (
            "+ credentials backend.staging",
            "- client secrets of backend.staging that no file holds: 1",
        ),
        (CREDENTIALS,),
    ),
    "credentials damaged": Drift(
        causes.shell(
            "sed -i 's/^INFISICAL_CLIENT_SECRET=./&x/' /etc/infisical/credentials/backend.*"
        ),
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
        causes.shell("apt-get -qq purge --yes restic"), ("+ package restic",), (PACKAGES,)
    ),
    "backup timers stopped": Drift(
        causes.shell(f"systemctl disable --now --quiet {BACKUP_TIMER} {DRILL_TIMER}"),
        (f"~ {BACKUP_TIMER}: enabled and started", f"~ {DRILL_TIMER}: enabled and started"),
        (BACKUP,),
    ),
    "backup timer's unit edited": Drift(
        causes.shell(f"echo OnCalendar=yearly >> /etc/systemd/system/{BACKUP_TIMER}"),
        (f"~ /etc/systemd/system/{BACKUP_TIMER}",),
        (BACKUP,),
    ),
    "backup script edited": Drift(
        causes.shell("echo exit >> /usr/local/lib/infisical-iac/backup.sh"),
        ("~ /usr/local/lib/infisical-iac/backup.sh",),
        (BACKUP,),
    ),
    "backup configuration lost": Drift(
        causes.shell("rm -r /etc/infisical/backup"),
        ("+ /etc/infisical/backup/backup.conf", "+ /etc/infisical/backup/local.conf"),
        (BACKUP,),
    ),
    "backup credentials left over": Drift(
        causes.shell("touch /etc/infisical/backup/gone.env"),
        ("- /etc/infisical/backup/gone.env: no target needs it",),
        (BACKUP,),
    ),
}
