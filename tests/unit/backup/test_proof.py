"""Test that a restore reads the canary and every folder before it is proven."""

import shlex
from types import SimpleNamespace

import pytest

from infisical_iac.backup import proof
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.restore import Restored
from infisical_iac.core.errors import CheckFailed
from infisical_iac.workspace import canary, reconcile
from infisical_iac.workspace.load import load
from tests.unit.deployment import TEXT, Deployment
from tests.unit.fake_infisical import UNREADABLE, FakeInfisical

_MANIFEST = Manifest("2026-11-25T02:30:11Z", "secrets", "v0.165.16", "17.11", "0123", {})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeInfisical:
    """A restored server with a canary and one secret in each folder."""
    monkeypatch.setattr(proof, "latest", lambda: Restored(_MANIFEST, None))
    monkeypatch.setattr(reconcile, "run", lambda command, *, doing: "")
    deployment = Deployment()
    deployment.deploy()
    server = deployment.server
    server.shows_values = True
    for each in server.environments:
        for folder in ("/", *server.folders[each["id"]]):
            server.store(each["slug"], folder, "A")
    server.add_canary()
    return server


def _contents(server: FakeInfisical) -> list[str]:
    """Return what the proof says of it."""
    return proof._contents(server.client(), load(TEXT))


def test_canary_and_folders_are_read_with_time_for_large_ones(server: FakeInfisical) -> None:
    (sentence,) = _contents(server)
    assert _MANIFEST.at in sentence
    assert "15 secrets in 15 folders" in sentence
    assert server.patience == {600.0}


def test_a_snapshot_without_a_canary_is_accepted_and_reported(server: FakeInfisical) -> None:
    server.others.clear()
    sentence, *rest = _contents(server)
    assert "15 secrets in 15 folders" in sentence
    assert rest == [canary.NONE]


def test_a_canary_that_was_altered_proves_nothing(server: FakeInfisical) -> None:
    server.others[0].write(secretValue="garbled")
    with pytest.raises(CheckFailed, match="the canary was altered") as failed:
        _contents(server)
    assert failed.value.code == "checks.canary"


def test_a_folder_that_cannot_be_read_is_named(server: FakeInfisical) -> None:
    server.refused["/backend"] = UNREADABLE
    with pytest.raises(CheckFailed, match=r" /backend in development ") as failed:
        _contents(server)
    assert failed.value.code == "checks.data"


def test_the_printed_command_removes_only_the_data_of_this_restore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proof, "host", SimpleNamespace(name="secrets"))
    (output,) = proof._old_data({"volume": "infisical_postgres_before_20261125T180000Z"})
    command = shlex.split(output.rpartition(": ")[2])
    assert command == [
        *("docker", "volume", "rm", "infisical_postgres_before_20261125T180000Z", "&&"),
        *("rm", "-rf", "/var/lib/infisical-restore/aside/20261125T180000Z"),
    ]
