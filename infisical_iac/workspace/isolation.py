"""Choose the isolation that an Infisical enforces, by the proof of `agent/isolation.py`."""

from collections.abc import Iterator
from dataclasses import replace

from infisical_iac.agent import contents
from infisical_iac.agent import isolation as proof
from infisical_iac.agent.runner import explain
from infisical_iac.api.client import Client
from infisical_iac.core.errors import CheckFailed, UserError, agent_failures
from infisical_iac.workspace.goal import Goal
from infisical_iac.workspace.model import Isolation
from infisical_iac.workspace.state import ApiChange, Call


def prove(client: Client, isolation: Isolation) -> str:
    """Prove that a temporary identity reads only the folder granted to it; return a sentence on it.

    Args:
        client: with the deployer's token. Everything that the proof makes is deleted.
        isolation: with `viewer`, the role is granted, and another project must be refused.

    Raises CheckFailed, which names the operator's choices, if services are not isolated; another
    UserError if the proof can't be made.
    """
    with agent_failures():
        return proof.prove(client, isolation)


def settle(client: Client, goal: Goal) -> tuple[Goal, ApiChange | None]:
    """Fall back to the isolation `projects` if the server does not enforce privileges.

    This is proven once, before the first project is made. With another isolation it is proven
    before a job that sees names gets its first privilege, and again while it does not hold.

    Returns:
        The goal with the isolation that the server enforces, and the change of the isolation; None
        if it does not change.

    Raises UserError if the proof can't be made.
    """
    memory = goal.memory
    if goal.apart and (memory.unenforced or not {*goal.apart} <= {*memory.identities}):
        return replace(goal, memory=replace(memory, unenforced=bool(_find_loss(client)))), None
    is_there = memory.project or contents.project(client, goal.desired.project.slug)
    if not goal.grants or is_there:
        return goal, None
    if reason := _find_loss(client):
        detail = f"privilege → projects, since this release does not enforce privileges: {reason}"
        shown = (
            "each service has a project of its own, since this release does not enforce "
            "privileges: set isolation = 'projects' in your settings"
        )
        goal = goal.recalling(replace(memory, fell_back=True, unenforced=True))
        return goal, ApiChange("~", "isolation", detail, shown=shown)
    return goal, None


def _find_loss(client: Client) -> str:
    """Return why the server does not enforce privileges; empty if it does.

    Raises UserError if that can't be proven.
    """
    try:
        prove(client, "privilege")
    except CheckFailed as error:
        if not is_lost(error):
            raise
        return find_reason(error)
    except UserError as error:
        raise _unknown(error) from None
    return ""


def is_lost(error: UserError) -> bool:
    """Return whether an error of `prove` says that the server does not isolate services."""
    return isinstance(error, CheckFailed) and error.code == proof.NOT_ISOLATED


def find_reason(error: UserError) -> str:
    """Return why the server does not isolate services, as a clause, from an error of `prove`."""
    return str(error).partition(": ")[2].partition("; ")[0]


def _unknown(error: UserError) -> CheckFailed:
    sentence = explain(proof.unknown(error))
    return CheckFailed(sentence, code=proof.NOT_ISOLATED)


def sweep(client: Client) -> None:
    """Delete the objects that killed proofs have left. Raises UserError."""
    with agent_failures():
        proof.sweep(client)


def leftovers(client: Client) -> Iterator[ApiChange]:
    """Yield the removal of temporary projects and identities of killed proofs."""
    for each in proof.find_remains(client):
        call = Call("DELETE", each.path)
        yield ApiChange("-", each.what, "left by an interrupted run", (call,))
