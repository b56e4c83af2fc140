"""Keep what waits for somebody's approval beside the plan, so that nothing is asked for twice.

Only persons may list the requests for approval in Infisical; the deployer has to remember its
own. A value is told by its keyed hash, as in the plan.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infisical_iac import atomic
from infisical_iac.migrate.fingerprint import digest
from infisical_iac.migrate.plan_file import MigrationError
from infisical_iac.migrate.secret import Secret

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
