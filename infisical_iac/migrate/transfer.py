"""A migration as a whole: compare, write what is missing, read everything back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.failures import ApiError
from infisical_iac.migrate import stored
from infisical_iac.migrate.apply import Policy, State, Work, carry_out, prepare
from infisical_iac.migrate.compare import compare
from infisical_iac.migrate.pending import Pending
from infisical_iac.migrate.readback import Proof, prove
from infisical_iac.migrate.secret import Name, Secret, Stored

_UNTOLD = (
    "whether an approval was refused can't be told by the deployer: if one was, remove {} and "
    "apply again"
)


@dataclass(frozen=True)
class Moved:
    """Hold what became of each secret, and what came back for it.

    Attributes:
        note: what could not be checked, and why; "" if everything was.
    """

    states: Mapping[Name, State]
    proofs: Sequence[Proof]
    note: str = ""


def move(
    client: Client,
    project: str,
    secrets: Sequence[Secret],
    *,
    policy: Policy,
    today: date,
    pending: Pending,
    begin: Callable[[Work], None],
    tell: Callable[[str, int], None],
) -> Moved:
    """Write what Infisical does not have yet, and prove that it has all of it then.

    What is there already with its very value is not written again, so that a run that died is
    made up for by the next one. Neither is what waits for an approval since an earlier run.

    Args:
        client: with the token of an admin of the project.
        project: its id.
        policy: what becomes of keys that Infisical has with another value.
        pending: what waits for an approval; what this run has to ask for is added.
        begin: called before the first write, with everything that is to be done.
        tell: called after each write with what was done and how many secrets that were.

    Raises MigrationError before anything is written, ApiError or Unreachable.
    """
    environments = sorted({each.name.environment for each in secrets})
    there = stored.read(client, project, environments)
    folders = {each: contents.folders(client, project, each) for each in environments}
    pending.forget(project, compare(secrets, there).same)
    due = [each for each in secrets if not pending.since(project, each)]
    work = prepare(compare(due, there), there, folders, policy=policy, today=today)
    begin(work)
    by_name = {each.name: each for each in due}
    carry_out(
        client,
        project,
        work,
        wait=lambda names: pending.note(project, [by_name[each] for each in names]),
        tell=tell,
    )
    expanded, unseen = _expanded(client, project, environments)
    proofs = prove(secrets, stored.read(client, project, environments), expanded)
    waiting = {each.name: since for each in secrets if (since := pending.since(project, each))}
    states: Mapping[Name, State] = {**work.states, **dict.fromkeys(waiting, "pending")}
    notes = [unseen, _UNTOLD.format(pending.file) if len(due) < len(secrets) else ""]
    return Moved(states, [_dated(each, waiting) for each in proofs], "; ".join(filter(None, notes)))


def _dated(proof: Proof, waiting: Mapping[Name, str]) -> Proof:
    since = waiting.get(proof.secret.name)
    told = f"waits for approval since {since}"
    return replace(proof, difference=told) if since and not proof.holds else proof


def _expanded(
    client: Client, project: str, environments: Sequence[str]
) -> tuple[dict[Name, Stored] | None, str]:
    try:
        return stored.read(client, project, environments, expand=True), ""
    except ApiError as error:
        # One reference of anybody's that may not be followed spoils the whole list.
        return None, f"how values read expanded could not be checked: {error}"
