"""Report changes of the host that have ended without a command that followed them."""

from collections.abc import Sequence

from infisical_iac.agent.data import GivenUp
from infisical_iac.agent.journal import TransactionJournal
from infisical_iac.backup import restore
from infisical_iac.change import kept_releases, upgrade
from infisical_iac.core import transaction
from infisical_iac.core.agent import ask
from infisical_iac.core.errors import UserError
from infisical_iac.core.settings import Settings
from infisical_iac.stack.model import describe_kept_data, given_up_after_proof


def describe(name: str, journal: TransactionJournal) -> list[str]:
    """Return sentences on the end of a transaction of a kind."""
    end = f"Since then {transaction.describe_end(name, journal)}."
    if name == "restore":
        return [end, *restore.describe_end(journal)]
    sentences = [end, *journal.told]
    if name not in upgrade.KINDS:
        return sentences
    if any(each in journal.kept for each in ("usable", "reverted")):
        return [*sentences, f"The previous version serves again {upgrade.describe_data(journal)}."]
    kept = [GivenUp(**each) for each in journal.kept.get("given_up", ())]
    if journal.outcome == "undone":
        return [*sentences, *describe_kept_data(kept)]
    return [*sentences, *given_up_after_proof(journal.kept.get("removed", ()), kept)]


def tell(settings: Settings) -> tuple[list[str], bool]:
    """Return sentences on the changes that ended on the current host, once, and finish them.

    Their ends are recorded in the audit log, and what they have made superfluous is removed.
    Returns also whether one of them was undone. Raises a UserError.
    """
    sentences: list[str] = []
    found = ask(transaction.ended_question())
    for name, journal in found.items():
        sentences += describe(name, journal)
        if name in upgrade.KINDS:
            sentences += _discard(settings, journal.named)
        transaction.forget(name, journal)
    return sentences, any(each.outcome == "undone" for each in found.values())


def _discard(settings: Settings, named: Sequence[str]) -> list[str]:
    """Remove releases that nobody needs after a change of version; return a note if that fails."""
    _, image = named
    try:
        kept_releases.discard_releases(settings, image)
    except UserError as error:
        return [f"Old releases could not be removed: {error}"]
    return []
