"""Test that a restore reads the canary and every folder before it is proven."""

import shlex
from types import SimpleNamespace

import httpx
import pytest

from infisical_iac.api.client import Client
from infisical_iac.backup import proof
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.restore import Restored
from infisical_iac.core.errors import CheckFailed
from infisical_iac.workspace import canary, reconcile
from infisical_iac.workspace.load import load
from tests.unit.deployment import TEXT

_MANIFEST = Manifest("2026-11-25T02:30:11Z", "secrets", "v0.165.16", "17.11", "0123", {})


class World:
    """A restored server with a canary and one secret in each folder."""

    def __init__(self) -> None:
        self.canary: str | None = canary.VALUE
        self.broken = ""
        self.seconds: set[float] = set()

    def contents(self) -> list[str]:
        """Return what the proof says of it."""
        client = Client("http://fake", httpx.MockTransport(self._answer))
        return proof._contents(client, load(TEXT))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path, asked = request.url.path, request.url.params
        if path.endswith(canary.SLUG):
            if self.canary is None:
                return httpx.Response(404, json={"error": "NotFound", "message": "not found"})
            return httpx.Response(200, json={"id": "canary", "environments": [{"slug": "prod"}]})
        if "/slug/" in path:
            return httpx.Response(200, json={"id": "1", "environments": []})
        if asked["projectId"] == "canary":
            found = {"secretKey": canary.SECRET, "secretValue": self.canary}
            return httpx.Response(200, json={"secrets": [found]})
        self.seconds.add(request.extensions["timeout"]["read"])
        if asked["secretPath"] == self.broken:
            broken = {"error": "BadRequest", "message": "unable to authenticate data"}
            return httpx.Response(400, json=broken)
        return httpx.Response(200, json={"secrets": [{"secretKey": "A", "secretValue": "x"}]})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(proof, "latest", lambda: Restored(_MANIFEST, None))
    monkeypatch.setattr(reconcile, "run", lambda command, *, doing: "")
    return World()


def test_canary_and_folders_are_read_with_time_for_large_ones(world: World) -> None:
    (sentence,) = world.contents()
    assert _MANIFEST.at in sentence
    assert "15 secrets in 15 folders" in sentence
    assert world.seconds == {600.0}


def test_a_snapshot_without_a_canary_is_accepted_and_reported(world: World) -> None:
    world.canary = None
    sentence, *rest = world.contents()
    assert "15 secrets in 15 folders" in sentence
    assert rest == [canary.NONE]


def test_a_canary_that_was_altered_proves_nothing(world: World) -> None:
    world.canary = "garbled"
    with pytest.raises(CheckFailed, match="the canary was altered"):
        world.contents()


def test_a_folder_that_cannot_be_read_is_named(world: World) -> None:
    world.broken = "/backend"
    with pytest.raises(CheckFailed, match="secrets of /backend in development can't be read"):
        world.contents()


def test_the_printed_command_removes_only_the_data_of_this_restore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proof, "host", SimpleNamespace(name="secrets"))
    (told,) = proof._old_data({"volume": "infisical_postgres_before_20261125T180000Z"})
    command = shlex.split(told.rpartition(": ")[2])
    assert command == [
        *("docker", "volume", "rm", "infisical_postgres_before_20261125T180000Z", "&&"),
        *("rm", "-rf", "/var/lib/infisical-restore/aside/20261125T180000Z"),
    ]
