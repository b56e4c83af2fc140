"""List all drifts, and group those that are tested together."""

from tests.e2e.drift import Drift
from tests.e2e.drifts_of_host import OF_HOST
from tests.e2e.drifts_of_project import INSIDE_INFISICAL

DRIFTS: dict[str, Drift] = {**OF_HOST, **INSIDE_INFISICAL}

# Each test takes three runs, so drifts that don't hide each other share a test.
TOGETHER: dict[str, tuple[str, ...]] = {
    "of the host": (
        *("package removed", "restic removed", "update unit stopped", "update configuration lost"),
        "firewall opened, now and for the next boot",
        *("SSH server's configuration lost", "sudo's directory opened"),
        "kernel parameter changed",
    ),
    "of the stack's files": (
        *("key file's mode changed", "compose file edited", "credentials damaged"),
    ),
    "inside": (
        *("sign-up opened", "environment renamed", "TTL changed", "canary altered"),
        *("client secret revoked", "tokens used up", "identity renamed", "folder renamed"),
        "organization renamed",
        "project's slug changed",  # the other drifts find the project by its slug
    ),
    "inside, of access": (
        *("environment deleted", "folder deleted", "access widened", "membership removed"),
        "credentials lost",
    ),
    "of the backups": (
        *(
            "backup timers stopped",
            "backup program of a former version",
            "backup credentials left over",
        ),
    ),
    "of the backups' files": ("backup timer's unit edited", "backup configuration lost"),
}

# Too long for `make test`: a drift of the same kind is tested there.
LONG = frozenset(
    {
        *("Docker stopped", "container paused", "container removed", "networks disconnected"),
        *("networks removed", "network opened", "network given that should not be"),
        *("database stopped", "database's container removed", "Compose removed", "limits updated"),
        "compose file edited and applied",
    }
)
