"""Ask a host for its state in the swarm."""

from dataclasses import replace

from infisical_iac.agent import membership
from infisical_iac.agent.files import states
from infisical_iac.agent.membership import SwarmState
from infisical_iac.core.agent import Question, question, together
from infisical_iac.core.units import question_for
from infisical_iac.host.machine import DAEMON_FILE

# The unit that unlocks the host's manager when Docker starts.
UNIT = "infisical-unlock.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
# The program of earlier versions, whose work the agent does.
FORMER = "/usr/local/lib/infisical-iac/swarm-unlock.sh"
HANDING_OVER = "/usr/local/lib/infisical-iac/hand-over.sh"


def swarm_question() -> Question[SwarmState]:
    """Return the question for the SwarmState of a host, with its files and units."""
    return together(
        lambda state, files, units: replace(state, files=files, units=units),
        question(membership.inspect),
        question(states, paths=[FORMER, HANDING_OVER, UNIT_FILE, DAEMON_FILE]),
        question_for([UNIT]),
    )
