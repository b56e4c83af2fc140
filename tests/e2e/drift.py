"""Define a drift, and name the steps of a deploy as its output does."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.staging.host import StagingHost

CLOUD_INIT = "Base | Wait for cloud-init"
PACKAGES = "Base | Install the base packages"
CONFIGURE = "Base | Configure updates, kernel and core dumps"
KERNEL = "Base | Apply kernel parameters, turn off core dumps and swap"
UNITS = "Base | Keep clock and security updates running"
FIREWALL = "Firewall | Drop connections that the settings don't allow"
FIREWALL_OFF = "Firewall | Keep this project's firewall off"
SSH = "Hardening | Harden SSH"
HARDENING = "Hardening | Harden kernel modules, shells, journal and files' modes"
ENGINE_CONFIGURATION = "Docker | Configure the Docker engine"
ENGINE_PACKAGES = "Docker | Install Docker"
ENGINE = "Docker | Keep Docker running"
DATA_VOLUME = "Data volume | Keep the data on the data volume"
KEYS = "Stack | Make keys and passwords on the host"
STACK = "Stack | Run Infisical, PostgreSQL and Redis"
BOOTSTRAP = "Bootstrap | Make the administrator and the deployer, close sign-up"
WORKSPACE = "Workspace | Apply group_data/chainalign.yaml"
CREDENTIALS = "Credentials | Store a client secret per service and environment"
CANARY = "Canary | Keep the canary up to date"
BACKUP = "Backup | Configure backups and drills with their timers"

INSIDE = "? the project in Infisical can be inspected once it runs"
CONTAINERS = "? the containers can be"
# A file that the deploy writes and nothing else depends on.
UPDATES = "/etc/apt/apt.conf.d/52infisical-iac"
BACKUP_TIMER = "infisical-backup.timer"
DRILL_TIMER = "infisical-drill.timer"


@dataclass(frozen=True)
class Drift:
    """A drift, and its expected plan and repair.

    Attributes:
        cause: a function that causes the drift.
        plan: the beginnings of all lines of the plan.
        repairs: the operations that change something, and no others.
        restarted: the services whose containers may be re-created or restarted.
    """

    cause: Callable[[StagingHost], object]
    plan: tuple[str, ...]
    repairs: tuple[str, ...]
    restarted: tuple[str, ...] = ()
