"""Read how the host and the stack on it are at this moment."""

from datetime import UTC, datetime

from infisical_iac.core.facts import Fact
from infisical_iac.core.rendering import script
from infisical_iac.monitoring.condition import ConditionState, Running
from infisical_iac.stack import given_up
from infisical_iac.workspace.credential_file import Term


class Condition(Fact[ConditionState]):
    """The ConditionState; `served_name` is whose certificate to look for, empty for none.

    It is looked for at `port`; `lock` is the file of the host's lock.
    """

    def command(self, served_name: str, port: int, lock: str) -> str:
        return script("status", lock, served_name, str(port))

    def process(self, output: list[str]) -> ConditionState:
        containers: dict[str, Running] = {}
        free = size = 0.0
        ends = None
        closed = None
        unfinished: dict[str, str] = {}
        holder = backups = drills = firewall = ""
        since = drilling = None
        terms: dict[str, Term] = {}
        saved: dict[str, datetime] = {}
        for line in output:
            match line.split():
                case ["container", service, image, status, health]:
                    containers[service] = Running(image, status, health)
                case ["disk", left, whole]:
                    free, size = int(left) / 1024**2, int(whole) / 1024**2
                case ["certificate", seconds]:
                    ends = int(seconds)
                case ["credentials", name, made, end]:
                    terms[name] = Term(datetime.fromisoformat(made), datetime.fromisoformat(end))
                case ["backups", seconds, *words]:
                    since, backups = int(seconds), " ".join(words)
                case ["saved", target, seconds]:
                    saved[target] = datetime.fromtimestamp(int(seconds), UTC)
                case ["drills", seconds, *words]:
                    drilling, drills = int(seconds), " ".join(words)
                case ["closed", seconds]:
                    closed = int(seconds)
                case ["unfinished", what, *words]:
                    unfinished[what] = " ".join(words)
                case ["firewall", how]:
                    firewall = how
                case ["busy", *words]:
                    holder = " ".join(words)
        return ConditionState(
            *(containers, free, size, ends, "engine" in output, holder, terms),
            *(since, backups, saved, drilling, drills),
            *(closed, unfinished, tuple(given_up.parse_given_up(output)), firewall),
        )
