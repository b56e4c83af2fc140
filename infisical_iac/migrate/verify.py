"""Verify secrets: of a plan against Infisical, and of a run by reading them back."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.failures import ApiError
from infisical_iac.api.parallel import gather
from infisical_iac.migrate.findings import REFERENCE, trimmed
from infisical_iac.migrate.fingerprint import digest, encoded
from infisical_iac.migrate.model import Name, Secret, Stored
from infisical_iac.migrate.plan_file import Plan
from infisical_iac.workspace.model import ServiceAccount, Workspace


class Expected(NamedTuple):
    """Hold what a plan says of one name in Infisical: whose it is, and how to tell its value."""

    service: str
    digest: str


class Problem(NamedTuple):
    """Hold what is not as it should be, and where."""

    name: Name
    what: str

    def __str__(self) -> str:
        return f"{self.name} {self.what}"


Seen = Mapping[str, Collection[Name]]
"""The secrets that each identity, by name, was shown the value of."""


def expected(plan: Plan) -> dict[Name, Expected]:
    """Everything that the plan stores."""
    return {
        Name(source.environment, source.folder, key): Expected(source.service, each.digest)
        for source in plan.sources
        for key, each in source.stored.items()
    }


def unchanged(
    wanted: Mapping[Name, Expected], stored: Mapping[Name, Stored], key: bytes
) -> Iterator[Problem]:
    """Yield what is missing, or has another value than it was planned with.

    Args:
        key: of the hashes of values.
    """
    for name, each in wanted.items():
        there = stored.get(name)
        if there is None:
            yield Problem(name, "is not there")
        elif there.is_hidden:
            yield Problem(name, "does not show its value to the deployer")
        elif digest(key, there.value) != each.digest:
            yield Problem(name, "has another value")


def access(wanted: Mapping[Name, Expected], workspace: Workspace, seen: Seen) -> Iterator[Problem]:
    """Yield who does not read what is theirs, and who reads what isn't.

    A service reads its own folder and the shared ones that it imports, in its environment.

    Args:
        seen: by identity; one that is missing was not asked and is not judged.
    """
    accounts = [each for each in workspace.accounts() if each.identity in seen]
    for name, each in wanted.items():
        for account in accounts:
            reads = name in seen[account.identity]
            is_own = (account.service, account.environment) == (each.service, name.environment)
            if is_own and not reads:
                yield Problem(name, f"can't be read by {account.identity}, whose it is")
            elif reads and not is_own and not _may_read(account, name):
                yield Problem(name, f"can be read by {account.identity}, whose it is not")


def ask(client: Client, project: str, names: Iterable[Name]) -> set[Name]:
    """Return which of some secrets a client is shown the value of.

    Raises ApiError or Unreachable.
    """
    wanted = set(names)
    places = sorted({each[:2] for each in wanted})
    answers = gather([partial(_shown, client, project, *place) for place in places])
    return wanted & {name for answer in answers for name in answer}


def _may_read(account: ServiceAccount, name: Name) -> bool:
    return account.environment == name.environment and any(
        name.folder == each or name.folder.startswith(f"{each}/") for each in account.readable
    )


def _shown(client: Client, project: str, environment: str, folder: str) -> list[Name]:
    try:
        listed = contents.secrets(client, project, environment, folder=folder)
    except ApiError as error:
        if error.status not in (403, 404):  # may see none in the project, or there is no folder
            raise
        return []
    return [
        Name(environment, folder, each["secretKey"])
        for each in listed
        if not each["secretValueHidden"]
    ]


Expanded = Literal["same", "differs", "unknown"]


@dataclass(frozen=True)
class Proof:
    """Hold what came back for one secret.

    Attributes:
        plain: whether the value as it is stored is the very one.
        expanded: whether it is the same for whoever reads it with references replaced.
        difference: how it differs, without anything of the value.
    """

    secret: Secret
    plain: Literal["same", "differs", "missing", "hidden"]
    expanded: Expanded = "unknown"
    difference: str = ""

    @property
    def holds(self) -> bool:
        """Return whether the service gets the value that it had; a literal one is read
        unexpanded.
        """
        return self.plain == "same" and (self.expanded != "differs" or self.secret.is_literal)


def prove(
    secrets: Iterable[Secret],
    plain: Mapping[Name, Stored],
    expanded: Mapping[Name, Stored] | None,
) -> list[Proof]:
    """Compare each secret with what was read.

    Args:
        plain: what is stored.
        expanded: the same with references replaced; None if it could not be read.
    """
    return [_prove(each, plain.get(each.name), expanded) for each in secrets]


def _prove(secret: Secret, there: Stored | None, expanded: Mapping[Name, Stored] | None) -> Proof:
    if there is None:
        return Proof(secret, "missing", difference="it is not there")
    if there.is_hidden:
        return Proof(secret, "hidden", difference="its value is not shown to the deployer")
    how = _expanded(secret, (expanded or {}).get(secret.name))
    if there.value != secret.value:
        return Proof(secret, "differs", how, _difference(secret.value, there.value))
    told = "a part of it is replaced for who reads it expanded" if how == "differs" else ""
    return Proof(secret, "same", how, told)


def _expanded(secret: Secret, there: Stored | None) -> Expanded:
    if there is None or there.is_hidden:
        return "unknown"
    return "same" if there.value == secret.value else "differs"


def _difference(sent: str, back: str) -> str:
    """Return how two values differ, without showing anything of them."""
    lengths = f"{len(encoded(back))} bytes instead of {len(encoded(sent))}"
    if back == trimmed(sent):
        return f"blanks at its ends were trimmed: {lengths}"
    if REFERENCE.search(sent) and _is_expanded(sent, back):
        return f"what looks like a reference was replaced: {lengths}"
    if sent.startswith(back):
        return f"its end is missing: {lengths}"
    at = next((n for n, (a, b) in enumerate(zip(sent, back, strict=False)) if a != b), len(sent))
    return f"it is another one from character {at + 1} on: {lengths}"


def _is_expanded(sent: str, back: str) -> bool:
    first, *_, last = REFERENCE.split(sent)
    return back.startswith(first) and back.endswith(last)
