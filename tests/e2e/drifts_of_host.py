"""List drifts of the host and its containers, with the plan and the repair of each."""

from infisical_iac.host.sshd_config import DROP_IN
from tests.e2e import drift_causes as causes
from tests.e2e.drift import (
    BACKUP,
    BACKUP_TIMER,
    CONFIGURE,
    CONTAINERS,
    DRILL_TIMER,
    ENGINE,
    ENGINE_CONFIGURATION,
    ENGINE_PACKAGES,
    FIREWALL,
    HARDENING,
    INSIDE,
    KERNEL,
    KEYS,
    PACKAGES,
    SSH,
    STACK,
    UNITS,
    UPDATES,
    Drift,
)

_EACH = "for service in infisical postgres redis; do docker "
# Infisical loses its connections, and the run waits until it is healthy again.
_WORKS = (
    "docker restart infisical-infisical-1; for second in $(seq 60); do docker inspect "
    "--format '{{.State.Health.Status}}' infisical-infisical-1 | grep -qx healthy && break; "
    "sleep 1; done"
)

OF_HOST: dict[str, Drift] = {
    "container stopped": Drift(
        causes.shell("docker stop infisical-infisical-1"),
        ("~ container infisical: is exited", INSIDE),
        (STACK,),
        ("infisical",),
    ),
    # Infisical waits for Redis only when its own container is created.
    "container removed": Drift(
        causes.shell("docker rm --force infisical-redis-1"),
        ("+ container redis", INSIDE),
        (STACK,),
        ("redis",),
    ),
    # Infisical's health follows the database's; Compose starts it again only if it had stopped.
    "database stopped": Drift(
        causes.shell("docker stop infisical-postgres-1"),
        ("~ container postgres: is exited", INSIDE),
        (STACK,),
        ("postgres",),
    ),
    "database's container removed": Drift(
        causes.shell("docker rm --force infisical-postgres-1"),
        ("+ container postgres", INSIDE),
        (STACK,),
        ("postgres",),
    ),
    "container paused": Drift(
        causes.shell("docker pause infisical-redis-1"),
        ("~ container redis: is paused", INSIDE),
        (STACK,),
    ),
    "networks disconnected": Drift(
        causes.shell(
            "for network in edge databases; do for service in infisical postgres redis; do "
            "docker network disconnect --force infisical_$network infisical-$service-1 || true; "
            "done; done"
        ),
        (
            "~ container infisical: not connected to network edge; not connected to network data",
            "~ container postgres: not connected to network databases",
            "~ container redis: not connected to network databases",
            INSIDE,
        ),
        (STACK,),
        ("infisical", "postgres", "redis"),
    ),
    "networks removed": Drift(
        causes.shell(
            "for service in infisical postgres redis; do "
            "docker network disconnect --force infisical_databases infisical-$service-1; done; "
            "docker network rm infisical_databases"
        ),
        (
            "~ container infisical: not connected to network databases",
            "~ container postgres: not connected to network databases",
            "~ container redis: not connected to network databases",
            INSIDE,
        ),
        (STACK,),
        ("infisical", "postgres", "redis"),
    ),
    "network given that should not be": Drift(
        causes.shell("docker network connect bridge infisical-postgres-1"),
        ("~ container postgres: connected to network bridge, but should not be",),
        (STACK,),
        ("postgres",),
    ),
    "network opened": Drift(
        causes.shell(
            f"{_EACH}network disconnect --force infisical_databases infisical-$service-1; done; "
            "docker network rm infisical_databases; docker network create infisical_databases; "
            f"{_EACH}network connect --alias $service infisical_databases infisical-$service-1; "
            f"done; {_WORKS}"
        ),
        tuple(
            f"~ container {service}: connected to a network databases that is not as compose.yaml"
            for service in ("infisical", "postgres", "redis")
        ),
        (STACK,),
        ("infisical", "postgres", "redis"),
    ),
    "limits updated": Drift(
        causes.shell("docker update --restart no --pids-limit 60 infisical-redis-1"),
        ("~ container redis: limit restart no → unless-stopped; limit pids 60 → 64",),
        (STACK,),
        ("redis",),
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
        ("~ docker.service: started", CONTAINERS, INSIDE),
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
        ("+ package docker-compose", CONTAINERS),
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
        # Each host has its own network parameters, while the hosts share the others.
        causes.shell("sysctl -qw net.ipv4.conf.all.log_martians=0"),
        ("~ kernel parameter net.ipv4.conf.all.log_martians: 0 → 1",),
        (KERNEL,),
    ),
    "firewall opened, now and for the next boot": Drift(
        causes.shell(
            "nft insert rule inet infisical input tcp dport 8080 accept; "
            "echo 'flush ruleset' >> /etc/infisical-iac/firewall.nft; "
            "systemctl disable --quiet infisical-firewall.service"
        ),
        (
            "~ firewall, table inet infisical",
            "~ /etc/infisical-iac/firewall.nft",
            "~ infisical-firewall.service: enabled",
        ),
        (FIREWALL,),
    ),
    "SSH server's configuration lost": Drift(
        causes.shell(f"rm {DROP_IN} && systemctl reload ssh"), (f"+ {DROP_IN}",), (SSH,)
    ),
    "sudo's directory opened": Drift(
        causes.shell("chmod 755 /etc/sudoers.d"),
        ("~ /etc/sudoers.d: mode 755 → 750",),
        (HARDENING,),
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
    "backup program of a former version": Drift(
        causes.shell("touch /usr/local/lib/infisical-iac/backup.sh"),
        ("- /usr/local/lib/infisical-iac/backup.sh: the agent does its work",),
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
