"""A migration as a whole: compare, write what is missing, read everything back."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from infisical_iac.api import contents
from infisical_iac.api.client import Client
from infisical_iac.api.failures import ApiError
from infisical_iac.core import atomic
from infisical_iac.migrate import stored
from infisical_iac.migrate.apply import Policy, State, Work, carry_out, compare, prepare
from infisical_iac.migrate.fingerprint import digest
from infisical_iac.migrate.model import Name, Secret, Stored
from infisical_iac.migrate.plan_file import MigrationError
from infisical_iac.migrate.verify import Proof, prove

PENDING_FILE = "migration-pending.json"


class Pending:
    """The approvals that were asked for, in `migration-pending.json` in a directory.

    Args:
        key: of the hashes of values.

    Raises MigrationError if the file can't be read, and so do the methods that write it.
    """

    def __init__(self, directory: Path, key: bytes) -> None:
        self.file = directory / PENDING_FILE
        self._key = key
        self._since: dict[str, str] = self._read()

    def since(self, project: str, secret: Secret) -> str:
        """When this very value was asked for in a project, told by its id; "" if it was not."""
        return self._since.get(self._told(project, secret), "")

    def note(self, project: str, secrets: Iterable[Secret]) -> None:
        """Remember, before anything else is done, that these were asked for now."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._write({**self._since, **{self._told(project, each): at for each in secrets}})

    def forget(self, project: str, secrets: Iterable[Secret]) -> None:
        """They are there, and wait no more."""
        gone = {self._told(project, each) for each in secrets}
        if not gone.isdisjoint(self._since):
            self._write({each: at for each, at in self._since.items() if each not in gone})

    def _told(self, project: str, secret: Secret) -> str:
        return f"{project} {secret.name} {digest(self._key, secret.value)}"

    def _read(self) -> dict[str, str]:
        try:
            found: Any = json.loads(self.file.read_bytes())
            return {str(each): str(at) for each, at in found["pending"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise MigrationError(f"{self.file} can't be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise MigrationError(
                f"{self.file} is not what migrate apply writes: see in Infisical whether approvals "
                "are open, then remove it"
            ) from None

    def _write(self, since: dict[str, str]) -> None:
        self._since = since
        data = {"schema_version": 1, "pending": since}
        try:
            if since:
                atomic.write(self.file, json.dumps(data, indent=2, ensure_ascii=False) + "\n")
            else:
                self.file.unlink()
        except OSError as error:
            raise MigrationError(f"{self.file} can't be written: {error.strerror}") from None


_UNTOLD = (
    "whether an approval was refused can't be told by the deployer: if one was, remove {} and "
    "apply again"
)


@dataclass(frozen=True)
class Transfer:
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
) -> Transfer:
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
    return Transfer(
        states, [_dated(each, waiting) for each in proofs], "; ".join(filter(None, notes))
    )


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
