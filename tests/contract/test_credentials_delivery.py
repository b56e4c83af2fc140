"""Test that credentials are delivered, and that the next rotation completes a killed one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from infisical_iac.cli.credentials import Delivery
from infisical_iac.dotenv.reading import read
from infisical_iac.workspace import credentials
from infisical_iac.workspace.credential_file import Credential, Store, directory, render
from infisical_iac.workspace.credentials import plan
from infisical_iac.workspace.delivery import Dokploy as Courier
from infisical_iac.workspace.load import load
from tests.dokploy.server import ID, KEY, Dokploy, serving

from .crediting import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .world import World

OTHERS = "PORT=8080\n"


@pytest.fixture
def dokploy() -> Iterator[Dokploy]:
    """An application with a variable of its own."""
    with serving(Dokploy("application", {"env": OTHERS})) as server:
        yield server


@pytest.fixture
def case(world: World, tmp_path: Path, dokploy: Dokploy) -> Case:
    """A service whose credentials have been delivered to the application."""
    target = {"dokploy": {"url": dokploy.url, "application": ID}}
    made = Case(world, tmp_path, {"production": target}, variables={"DOKPLOY_API_KEY": KEY})
    made.deploy()
    made.rotate("--deploy")
    dokploy.requests.clear()
    return made


def _read_delivered(dokploy: Dokploy) -> Credential:
    values = read(dokploy.service["env"].encode(), "dotenv").values
    assert values["PORT"] == "8080"
    return Credential(
        values["NODE_ENV"], values["INFISICAL_CLIENT_ID"], "", values["INFISICAL_CLIENT_SECRET"]
    )


def test_a_rotation_delivers_and_deploys(case: Case, dokploy: Dokploy) -> None:
    old = _read_delivered(dokploy)
    rotated = case.rotate("--deploy")
    assert dokploy.changes == ["saveEnvironment", "deploy"]
    assert "credentials show" not in rotated.stderr
    assert _read_delivered(dokploy).client_secret == case.read_credential().client_secret
    assert case.logs_in(old)


def test_push_delivers_only_what_differs(case: Case, dokploy: Dokploy) -> None:
    pushed = case.run("push", "--deploy")
    assert (pushed.exit_code, pushed.stdout) == (0, "Nothing to deliver.\n")
    assert dokploy.changes == []
    dokploy.service["env"] = OTHERS
    pushed = case.run("push", case.service, "--env", "production")
    assert pushed.exit_code == 0
    assert dokploy.changes == ["saveEnvironment"]
    assert case.logs_in(_read_delivered(dokploy))


def test_push_completes_credentials_of_a_former_release_with_the_same_client_secret(
    case: Case, dokploy: Dokploy
) -> None:
    """Files of former releases have no INFISICAL_ENVIRONMENT."""
    before, listed = case.read_credential(), case.list_client_secrets()
    file = case.directory / f"{case.service}.production.env"
    file.write_text(file.read_text().replace("INFISICAL_ENVIRONMENT=production\n", ""))
    line = "INFISICAL_ENVIRONMENT='production'\n"
    dokploy.service["env"] = dokploy.service["env"].replace(line, "")
    pushed = case.run("push", "--deploy")
    assert f"~ credentials {case.service}.production: " in pushed.stdout
    assert line in dokploy.service["env"]
    assert (case.read_credential(), case.list_client_secrets()) == (before, listed)
    assert case.run("push", "--deploy").stdout == "Nothing to deliver.\n"


def test_credentials_that_can_not_be_delivered_are_not_rotated(
    case: Case, dokploy: Dokploy
) -> None:
    before = case.list_client_secrets()
    dokploy.broken = 500
    refused = case.run("rotate", case.service, "--env", "production")
    assert refused.exit_code == 1
    assert "500" in refused.stderr
    case.variables = {"DOKPLOY_API_KEY": ""}
    refused = case.run("rotate", case.service, "--env", "production")
    assert "DOKPLOY_API_KEY" in refused.stderr
    assert case.list_client_secrets() == before


def test_push_without_any_target_is_refused(case: Case) -> None:
    refused = case.run("push", "--env", "development")
    assert refused.exit_code == 1
    assert "`deliver`" in refused.stderr


class Killed(BaseException):
    """An exception that no code catches."""


def _kill_after(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def die(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(owner, name, die)


def _kill_after_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def dying(where: Path) -> Store:
        store, writes = directory(where), iter(range(1, 10))

        def write(name: str, text: str) -> None:
            store.write(name, text)
            if next(writes) == number:
                raise Killed

        return Store(store.place, store.read, write, store.remove)

    monkeypatch.setattr("infisical_iac.workspace.reach.directory", dying)


DEATHS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "client secret answered": lambda patch: _kill_after(patch, credentials, "create"),
    "client secret proven": lambda patch: _kill_after(patch, credentials, "prove"),
    "file written": lambda patch: _kill_after_write(patch, 1),
    "delivered": lambda patch: _kill_after(patch, Courier, "deliver"),
    "deployed": lambda patch: _kill_after(patch, Delivery, "deliver"),
    "old one revoked": lambda patch: _kill_after(patch, credentials, "revoke"),
    "end written": lambda patch: _kill_after_write(patch, 2),
}


@pytest.mark.parametrize(
    ("death", "overlap"),
    [
        *((death, "0") for death in DEATHS),
        *((death, "1h") for death in DEATHS if death != "old one revoked"),
    ],
)
def test_a_killed_rotation_is_completed_by_the_next(
    case: Case, dokploy: Dokploy, death: str, overlap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        DEATHS[death](patch)
        with pytest.raises(Killed):
            case.rotate("--overlap", overlap, "--deploy")
    assert case.logs_in(_read_delivered(dokploy))
    assert case.logs_in(case.read_credential())
    _apply(case)
    assert case.logs_in(_read_delivered(dokploy))
    assert case.logs_in(case.read_credential())
    case.rotate("--overlap", "0")
    assert _read_delivered(dokploy).client_secret == case.read_credential().client_secret
    assert case.list_client_secrets() == [case.read_credential().secret_id]
    assert case.logs_in(case.read_credential())


def _apply(case: Case, now: datetime | None = None) -> None:
    """Apply the credentials as a deploy does."""
    client, store = case.client(), directory(case.directory)
    desired = load(case.root / "workspace.json")
    holders = credentials.find_holders(client, desired)
    for step in plan(desired, holders, store.read(), now):
        if step.creates:
            made = credentials.create(client, step)
            store.write(step.account.credentials, render(made))
        credentials.revoke_orphans(client, step)


def test_apply_revokes_the_replaced_credentials_after_their_overlap(
    case: Case, dokploy: Dokploy
) -> None:
    old = _read_delivered(dokploy)
    case.rotate("--overlap", "1h")
    _apply(case, datetime.now(UTC) + timedelta(minutes=59))
    assert case.logs_in(old)
    _apply(case, datetime.now(UTC) + timedelta(minutes=61))
    assert case.list_client_secrets() == [case.read_credential().secret_id]
    assert not case.logs_in(old)


def test_credentials_of_a_lost_file_work_until_a_push_delivers_new_ones(
    case: Case, dokploy: Dokploy
) -> None:
    (case.directory / f"{case.service}.production.env").unlink()
    _apply(case)
    assert case.logs_in(_read_delivered(dokploy))
    notes = case.run("list").stderr
    assert f"`infisical-iac credentials push {case.service} --env production`" in notes
    pushed = case.run("push", case.service, "--env", "production", "--overlap", "0", "--deploy")
    assert pushed.exit_code == 0
    assert dokploy.changes == ["saveEnvironment", "deploy"]
    assert _read_delivered(dokploy).client_secret == case.read_credential().client_secret
    assert case.list_client_secrets() == [case.read_credential().secret_id]
