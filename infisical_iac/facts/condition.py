"""How the host and the stack on it are at this moment."""

from pyinfra.api.facts import FactBase

from infisical_iac.condition import ConditionState, Running
from infisical_iac.rendering import script


class Condition(FactBase[ConditionState]):
    """The ConditionState; `served_name` is whose certificate to look for, empty for none."""

    def command(self, served_name: str) -> str:
        return script("status", served_name)

    def process(self, output: list[str]) -> ConditionState:
        containers: dict[str, Running] = {}
        free = size = 0.0
        ends = None
        for line in output:
            match line.split():
                case ["container", service, image, status, health]:
                    containers[service] = Running(image, status, health)
                case ["disk", left, whole]:
                    free, size = int(left) / 1024**2, int(whole) / 1024**2
                case ["certificate", seconds]:
                    ends = int(seconds)
        return ConditionState(containers, free, size, ends)

    @staticmethod
    def default() -> ConditionState:
        return ConditionState()
