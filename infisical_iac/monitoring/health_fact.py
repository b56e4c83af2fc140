"""Read the state of the host and of the stack on it."""

from datetime import UTC, datetime

from infisical_iac.core.facts import Fact
from infisical_iac.core.rendering import script
from infisical_iac.monitoring.health import HealthState, Running
from infisical_iac.stack import given_up
from infisical_iac.workspace.credential_file import Term


class Health(Fact[HealthState]):
    """Read the HealthState.

    Args:
        served_name: the name in the certificate to look for; empty for none.
        port: where that certificate is served.
        lock: the file of the host's lock.
    """

    def command(self, served_name: str, port: int, lock: str) -> str:
        return script("status", lock, served_name, str(port))

    def process(self, output: list[str]) -> HealthState:
        given = tuple(given_up.parse_given_up(output))
        found = HealthState(engine="engine" in output, given_up=given)
        for line in output:
            match line.split():
                case ["container", service, image, status, health]:
                    found.containers[service] = Running(image, status, health)
                case ["disk", free, size]:
                    found.disk_free_gb = int(free) / 1024**2
                    found.disk_size_gb = int(size) / 1024**2
                case ["certificate", seconds]:
                    found.certificate_ends = int(seconds)
                case ["credentials", name, made, end]:
                    moments = map(datetime.fromisoformat, (made, end))
                    found.credentials[name] = Term(*moments)
                case ["backups", seconds, *words]:
                    found.backups_since, found.backups = int(seconds), " ".join(words)
                case ["saved", target, seconds]:
                    found.saved[target] = datetime.fromtimestamp(int(seconds), UTC)
                case ["drills", seconds, *words]:
                    found.drills_since, found.drills = int(seconds), " ".join(words)
                case ["closed", seconds]:
                    found.closed = int(seconds)
                case ["unfinished", what, *words]:
                    found.unfinished[what] = " ".join(words)
                case ["firewall", how]:
                    found.firewall = how
                case ["busy", *words]:
                    found.holder = " ".join(words)
        return found
