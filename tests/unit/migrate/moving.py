"""Secrets and findings for the tests of a migration."""

from collections.abc import Mapping

from infisical_iac.migrate.model import FileFinding, Name, Secret
from infisical_iac.migrate.plan_file import PlannedKey, PlannedSource


def secret(
    key: str = "FAKE",
    value: str = "fake-value",
    *,
    environment: str = "production",
    folder: str = "/backend",
    is_literal: bool = False,
) -> Secret:
    """Return a secret that is to be moved from backend/.env."""
    name = Name(environment, folder, key)
    return Secret(name, value, "backend/.env", 3, is_literal)


def finding(kind: str, *, blocking: bool = False, key: str = "FAKE", line: int = 1) -> FileFinding:
    """Return a finding of a scan in backend/.env."""
    return FileFinding("backend/.env", line, kind, key, "It is odd.", "Look.", blocking)


def planned_source(
    keys: Mapping[str, PlannedKey] | None = None,
    *,
    path: str = "backend/.env",
    grammar: str = "dotenv",
) -> PlannedSource:
    """Return a file of a plan that is to be stored, with these keys."""
    return PlannedSource(
        path=path,
        digest="abc",
        service="backend",
        environment="production",
        folder="/backend",
        grammar=grammar,
        why="it says so",
        decision="store",
        keys=dict(keys or {}),
    )
