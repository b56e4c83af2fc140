"""Test that the canary is made, repaired, and read."""

import re
from collections.abc import Callable

import pytest
import stamina

from infisical_iac.core.change import Change, UpToDate
from infisical_iac.core.errors import ApiError, CheckFailed, FileError
from infisical_iac.workspace import canary, reconcile
from infisical_iac.workspace.canary import Canary, CanaryLogin
from infisical_iac.workspace.converge import apply
from infisical_iac.workspace.load import load
from infisical_iac.workspace.state import ApiChange
from tests.unit.deployment import ADMIN, TEXT
from tests.unit.fake_infisical import FakeInfisical
from tests.unit.fake_state import Json, Refused

_ALL = (
    f"+ canary: project {canary.SLUG}; project member {ADMIN}: role admin; environment prod; "
    f"secret CANARY; {canary.PURPOSE}"
)


class Server(FakeInfisical):
    """An Infisical in memory with only the canary's project, with a secret of somebody else."""

    shows_values = True

    def _list_secrets(self, query: Json) -> Json:
        other = {"secretKey": "OTHER", "secretValue": "obviously-fake"}
        return {"secrets": [other, *super()._list_secrets(query)["secrets"]]}

    def keep(self) -> list[str]:
        """Repair the canary, and return the changes as texts."""
        return [str(change) for change in apply(self.client(), self.due())]

    def due(self) -> list[ApiChange]:
        return canary.due(canary.observe(self.client(), ADMIN), ADMIN)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def canary_server(server: Server) -> Server:
    server.keep()
    server.requests.clear()
    return server


def test_the_canary_is_made_once(server: Server) -> None:
    assert canary.is_alive(server.client()) is False
    assert [str(change) for change in canary.due(Canary(), ADMIN)] == [_ALL]
    assert server.keep() == [_ALL]
    assert server.project is not None
    assert server.project["hasDeleteProtection"] is True
    assert canary.is_alive(server.client()) is True
    (((_, folder), (secret,)),) = server.stored.items()
    assert (folder, secret["secretKey"]) == ("/", canary.SECRET)
    assert server.keep() == []


def test_the_canarys_project_has_a_description(server: Server) -> None:
    server.keep()
    (body,) = [sent for method, path, sent in server.requests if path == "/api/v1/projects"]
    assert body["projectName"] == "Canary of infisical-iac"
    assert "prove" in body["projectDescription"]


def test_an_up_to_date_canary_takes_three_reading_requests(canary_server: Server) -> None:
    assert canary_server.due() == []
    assert [method for method, _, _ in canary_server.requests] == ["GET", "GET", "GET"]


def test_a_renamed_canary_project_is_found_and_not_made_twice(canary_server: Server) -> None:
    assert canary_server.project is not None
    id = canary_server.project["id"]
    canary_server.project["slug"] = "renamed"
    due = canary.due(canary.observe(canary_server.client(), ADMIN, id), ADMIN)
    assert list(map(str, apply(canary_server.client(), due))) == [
        f"~ canary: project {canary.SLUG}: slug renamed → {canary.SLUG}"
    ]
    assert canary_server.due() == []


def test_a_lost_canary_project_is_made_again(canary_server: Server) -> None:
    canary_server.project = None
    canary_server.environments.clear()
    due = canary.due(canary.observe(canary_server.client(), ADMIN, "project-1"), ADMIN)
    assert [str(each).partition(";")[0] for each in due] == [f"+ canary: project {canary.SLUG}"]


def _lose_text(server: Server) -> None:
    server.stored.clear()


def _alter_text(server: Server) -> None:
    server.write(secretValue="dead")


def _lose_admin(server: Server) -> None:
    server.persons.clear()


def _rename(server: Server) -> None:
    assert server.project is not None
    server.project["name"] = "scratch"


@pytest.mark.parametrize(
    ("spoil", "output"),
    [
        (_lose_text, "~ canary: secret CANARY"),
        (_alter_text, "~ canary: secret CANARY: altered → alive"),
        (_lose_admin, f"~ canary: project member {ADMIN}: role admin"),
        (
            _rename,
            f"~ canary: project {canary.SLUG}: name scratch → Canary of infisical-iac",
        ),
        (
            lambda server: server.delete_environment("prod"),
            "~ canary: environment prod: deleted → restored.*; secret CANARY",
        ),
    ],
)
def test_differences_of_the_canary_are_one_item_and_repaired(
    canary_server: Server, spoil: Callable[[Server], None], output: str
) -> None:
    """Each output is a pattern of a whole line."""
    spoil(canary_server)
    (line,) = canary_server.keep()
    assert re.fullmatch(output, line)
    assert canary_server.keep() == []
    assert canary.is_alive(canary_server.client())


def test_an_altered_canary_is_reported_without_its_text(canary_server: Server) -> None:
    canary_server.write(secretValue="obviously-fake")
    with pytest.raises(CheckFailed, match="is not 'alive'") as output:
        canary.is_alive(canary_server.client())
    assert "obviously-fake" not in str(output.value)


def test_an_unreadable_canary_is_reported_and_not_overwritten(canary_server: Server) -> None:
    canary_server.refused["/"] = Refused(500, "InternalServerError", "unable to authenticate data")
    for read in (canary_server.keep, lambda: canary.is_alive(canary_server.client())):
        with (
            stamina.set_testing(True),
            pytest.raises(CheckFailed, match="unable to authenticate data") as failed,
        ):
            read()
        assert (failed.value.code, failed.value.ends_run) == (canary.CODE, True)
    assert {method for method, _, _ in canary_server.requests} == {"GET"}


@pytest.mark.parametrize(("status", "ends"), [(400, True), (500, True), (403, False), (404, False)])
def test_a_refusal_blocks_only_the_canary_and_an_unusable_answer_ends_the_run(
    status: int, ends: bool
) -> None:
    reason = ApiError(status, "Error", "no such thing", "GET", "/api/v4/secrets")
    assert canary.unreadable(reason).ends_run is ends


def test_a_project_file_cannot_name_the_canarys_project() -> None:
    with pytest.raises(FileError, match=rf"project\.slug: {canary.SLUG} ") as refused:
        load(TEXT.replace("slug: chainalign", f"slug: {canary.SLUG}"))
    assert refused.value.code == "file.project"


def test_the_login_of_the_canary_goes_with_the_monitor() -> None:
    login = CanaryLogin("identity-1", "client-1", "obviously-fake", "secret-1", "project-1")
    change, _ = reconcile.decide_canary_login(login, None, 8080)
    assert isinstance(change, Change)
    assert (change.kind, change.what) == ("-", "identity infisical-iac-canary")
    (settled,) = reconcile.decide_canary_login(CanaryLogin(), None, 8080)
    assert isinstance(settled, UpToDate)
    assert "obviously-fake" not in repr(login)
