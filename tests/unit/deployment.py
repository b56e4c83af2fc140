"""A deployer of a small workspace, against the Infisical in memory."""

from functools import cache
from typing import Any

import httpx

from infisical_iac.api.client import Client
from infisical_iac.workspace import load as loading
from infisical_iac.workspace.actual import read
from infisical_iac.workspace.change import Change
from infisical_iac.workspace.converge import apply, converge
from infisical_iac.workspace.difference import difference
from infisical_iac.workspace.memory import Memory, remember
from infisical_iac.workspace.model import Isolation, Workspace
from tests.unit.fake_infisical import FakeInfisical

ADMIN = "admin@example.com"
TEXT = """
project: {name: ChainAlign, slug: chainalign}
environments:
  - {slug: development, name: Development}
  - {slug: staging, name: Staging}
  - {slug: production, name: Production}
shared_folders: [/shared]
services:
  backend: {folder: /backend, imports: [/shared]}
  python-service: {folder: /services/python}
"""
load = cache(loading.load)


class Deployment:
    """A fake server, and a deployer that remembers as the host does."""

    def __init__(self) -> None:
        self.server = FakeInfisical()
        self.client = Client("http://fake", httpx.MockTransport(self.server.handle), "token")
        self.remembered = Memory()

    def changes(self, text: str = TEXT, isolation: Isolation = "privilege") -> list[Change]:
        """Return what a plan would show."""
        desired = load(text)
        actual = self._read(desired, isolation)
        return difference(
            desired,
            actual,
            isolation=isolation,
            admin_email=ADMIN,
            remembered=self.remembered,
        )

    def deploy(self, text: str = TEXT, isolation: Isolation = "privilege") -> list[str]:
        """Apply once, without another look; what was done, as people read it."""
        done = [str(change) for change in apply(self.client, self.changes(text, isolation))]
        desired = load(text)
        self.remembered = remember(desired, self._read(desired, isolation), self.remembered)
        return done

    def converge(self) -> list[str]:
        """Apply until nothing differs; what was done."""
        done: list[str] = []
        actual = converge(
            self.client,
            load(TEXT),
            isolation="privilege",
            admin_email=ADMIN,
            remembered=self.remembered,
            tell=lambda change: done.append(str(change)),
        )
        self.remembered = remember(load(TEXT), actual, self.remembered)
        return done

    def _read(self, desired: Workspace, isolation: Isolation) -> Any:
        return read(
            self.client,
            workspace=desired,
            isolation=isolation,
            admin_email=ADMIN,
            remembered=self.remembered,
        )
