"""Install the unit that takes up an interrupted change of the host after a boot."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infisical_iac.agent.files import PathState, states
from infisical_iac.agent.system import UnitState
from infisical_iac.core import units
from infisical_iac.core.agent import Question, inspect, question, together
from infisical_iac.core.files import File
from infisical_iac.core.operation import Commands, or_up_to_date, planned_operation

_UNIT = "infisical-transaction.service"


@dataclass(frozen=True)
class ResumeState:
    """The actual state of the unit and of its file."""

    paths: Mapping[str, PathState] = field(default_factory=dict)
    units: Mapping[str, UnitState] = field(default_factory=dict)


def resume_question() -> Question[ResumeState]:
    """Return the question that `resuming` asks."""
    paths = question(states, paths=[f"{units.DIRECTORY}/{_UNIT}"])
    return together(ResumeState, paths, units.question_for([_UNIT]))


@planned_operation
def resuming() -> Commands:
    """Install and enable the unit, which systemd starts at a boot if a change was interrupted.

    Example:
        resuming(name="Take up interrupted changes after a boot")
    """
    yield from decide(inspect(resume_question()), units.unit_file(_UNIT))


def decide(there: ResumeState, desired: File) -> Commands:
    """Return the steps from the actual state, `there`, to the desired unit."""
    decided = [
        *units.install([desired], there.paths, there.units),
        *units.bring_up([_UNIT], there.units),
    ]
    yield from or_up_to_date(decided, "interrupted changes are taken up after a boot")
