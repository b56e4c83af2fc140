"""The credentials of an Infisical that was reached, and where their files are."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infisical_iac.core.errors import UserError
from infisical_iac.core.terminal import echo
from infisical_iac.core.validation import hint
from infisical_iac.workspace import client_secrets
from infisical_iac.workspace.credential_file import Credential, Store, directory
from infisical_iac.workspace.credentials import Step, plan
from infisical_iac.workspace.reach import Reached, reach

if TYPE_CHECKING:
    from pyinfra.api.host import Host


@dataclass(frozen=True)
class Kept:
    """Hold what is there, as read at a moment.

    Attributes:
        place: where the files are; None at a URL where no directory was given.
        files: their content by name; None likewise.
        steps: what is due for each service in each environment.
        told: the changes that were made since.
    """

    reached: Reached
    place: Store | None
    files: dict[str, str] | None
    steps: Sequence[Step]
    now: datetime
    told: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """Where the files are, if `keep` was told that they are needed."""
        assert self.place is not None
        return self.place

    def some(self, service: str | None, environment: str | None) -> list[Step]:
        """The steps of a service, of an environment, or of all. Raises UserError."""
        for wanted, known, what in (
            (service, [each.account.service for each in self.steps], "service"),
            (environment, [each.account.environment for each in self.steps], "environment"),
        ):
            if wanted is not None and wanted not in known:
                names = list(dict.fromkeys(known))
                raise UserError(
                    f"there is no {what} {wanted!r} in the workspace file: {hint(wanted, names)}"
                )
        return [
            each
            for each in self.steps
            if service in (None, each.account.service)
            and environment in (None, each.account.environment)
        ]

    def one(self, service: str, environment: str) -> Step:
        """The step of a service in an environment. Raises UserError."""
        return self.some(service, environment)[0]

    def held(self, step: Step) -> Credential:
        """Return what works of a step. Raises UserError if nothing does."""
        if step.held is None:
            name = step.account.credentials
            raise UserError(
                f"there are no credentials {name} that work in {self.store.place}: make them with "
                f"`infisical-iac credentials rotate {step.account.service} --env "
                f"{step.account.environment}`, or with the next apply"
            )
        return step.held

    def tell(self, change: str) -> None:
        """Print a change that was made, and keep it for `recorded`."""
        echo(change)
        self.told.append(change)

    def disclosed(self, steps: Sequence[Step]) -> AbstractContextManager[None]:
        """A context that writes into the host's audit log whose credentials are shown in it."""
        names = [f"shown: {each.account.credentials}" for each in steps]
        return self.reached.recorded("credentials", names)

    def recorded(self) -> AbstractContextManager[None]:
        """A context that writes into the host's audit log what is told until its end."""
        return self.reached.recorded("rotation", self.told)


@contextmanager
def keep(
    inventory: str,
    file: Path | None,
    where: Path | None,
    *,
    lock: "Callable[[Host], None] | None" = None,
    needs_files: bool = True,
) -> Iterator[Kept]:
    """The credentials of the Infisical that `reach` reaches.

    Args:
        where: the directory of the files at a URL.
        lock: as for `reach`.
        needs_files: whether that directory must be given there.

    Raises a UserError.
    """
    with reach(inventory, file, None, lock=lock, needs_admin=False) as reached:
        store = _store(reached, where, needs_files)
        files = dict(store.read()) if store else None
        now = datetime.now(UTC)
        known = reached.memory.identities
        holders = client_secrets.find_holders(reached.client, reached.desired, known)
        yield Kept(reached, store, files, plan(reached.desired, holders, files or {}, now), now)


def _store(reached: Reached, where: Path | None, needs_files: bool) -> Store | None:
    if reached.remember is not None:
        if where is not None:
            raise UserError(
                "--credentials is for an Infisical at a URL: here the files are on the host"
            )
        from infisical_iac.workspace.credentials_issue import store

        return store()
    if where is None and needs_files:
        raise UserError(
            "at a URL there is no host that keeps the credentials: give --credentials with a "
            "directory for their files, <service>.<environment>.env"
        )
    return directory(where) if where is not None else None
