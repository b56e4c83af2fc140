"""Test that a restore reads the canary and every folder before it is proven."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infisical_iac.agent import canary, login, restore_proof
from infisical_iac.agent.answers import AnswerError
from infisical_iac.agent.api import ApiClient
from infisical_iac.agent.login import NoLogin
from infisical_iac.agent.restore_proof import Access, BeforeRestore, RestoreProof, read_access
from infisical_iac.agent.runner import Failure
from infisical_iac.workspace.credential_file import Credential, render
from infisical_iac.workspace.load import load
from tests.unit.agent.fake_runner import FakeRunner
from tests.unit.deployment import TEXT, Deployment
from tests.unit.fake_infisical import UNREADABLE, FakeInfisical
from tests.unit.fake_people import ADMIN_TOKEN
from tests.unit.fake_state import Refused

_AT = "2026-11-25T02:30:11Z"


def _asked(text: str = TEXT, before: Access | None = None) -> RestoreProof:
    desired = load(text)
    services = [[each.credentials, each.former_credentials] for each in desired.secret_holders()]
    return RestoreProof(desired.project.slug, services, _AT, before)


def _failure(call: Callable[[], object]) -> Failure:
    with pytest.raises(RuntimeError) as raised:
        call()
    found = raised.value.args[0]
    assert isinstance(found, Failure)
    return found


@pytest.fixture
def server() -> FakeInfisical:
    """A restored server with a canary and one secret in each folder."""
    deployment = Deployment()
    deployment.deploy()
    server = deployment.server
    server.shows_values = True
    for each in server.environments:
        for folder in ("/", *server.folders[each["id"]]):
            server.store(each["slug"], folder, "A")
    server.add_canary()
    return server


class _Run:
    """The proof of a restore on a host."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, server: FakeInfisical, host: FakeRunner
    ) -> None:
        self.server, self.host = server, host
        self.sessions: list[str] = []
        self.before: Access | None = {}
        self.valid: set[str] = set()
        self.logins: list[tuple[str, str]] = []
        self.status = 401
        self._patch = monkeypatch
        server.routes.append(("GET", "/v1/organization", self._organizations))
        monkeypatch.setattr(login, "deployer", lambda _, port: self._client("token", port))
        monkeypatch.setattr(
            login, "administrator", lambda _, port, of=None: self._client(ADMIN_TOKEN, port, of)
        )
        monkeypatch.setattr(login, "universal", self._log_in)

    def remove_login(self, who: str) -> None:
        """Remove the login of the administrator or of the deployer."""

        def refuse(*_: object) -> ApiClient:
            raise NoLogin(Failure("not_bootstrapped", "obviously fake"))

        self._patch.setattr(login, who, refuse)

    def _client(self, token: str, port: int, organization: str | None = None) -> ApiClient:
        assert port == 8080
        who = "administrator" if token == ADMIN_TOKEN else "deployer"
        self.sessions.append(f"{who} in {organization}" if organization else who)
        return self.server.client(token)

    def _organizations(self, _: Any) -> Any:
        assert self.server.token == ADMIN_TOKEN
        return {"organizations": [{"id": "only", "name": "obviously fake"}]}

    def _log_in(self, _: ApiClient, client_id: str, client_secret: str) -> None:
        self.logins.append((client_id, client_secret))
        if client_id not in self.valid:
            raise AnswerError.of(_answer(self.status))

    def prove(self, text: str = TEXT) -> list[str]:
        """Prove the restore, and return the sentences."""
        return restore_proof.prove(self.host, _asked(text, self.before), 8080)


def _answer(status: int) -> Any:
    from infisical_iac.agent.answers import ErrorAnswer

    return ErrorAnswer(status, "Unauthorized", "refused", "POST", "/login")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, server: FakeInfisical, tmp_path: Path) -> _Run:
    return _Run(monkeypatch, server, FakeRunner(tmp_path))


def test_canary_and_folders_are_read_with_a_timeout_of_ten_minutes(run: _Run) -> None:
    sentence = run.prove()[0]
    assert _AT in sentence
    assert "15 secrets in 15 folders" in sentence
    assert 600.0 in run.server.patience


def test_a_snapshot_without_a_canary_is_accepted_and_reported(run: _Run) -> None:
    run.server.others.clear()
    sentence, *rest = run.prove()
    assert "15 secrets in 15 folders" in sentence
    assert rest[0] == canary.NONE


def test_an_altered_canary_fails_the_proof(run: _Run) -> None:
    run.server.others[0].write(secretValue="garbled")
    failure = _failure(run.prove)
    assert "the canary was altered" in failure.message
    assert failure.code == "checks.canary"


def test_a_folder_that_cannot_be_read_is_named(run: _Run) -> None:
    run.server.refused["/backend"] = UNREADABLE
    failure = _failure(run.prove)
    assert " /backend in development " in failure.message
    assert failure.code == "checks.data"


def test_a_folder_that_the_snapshot_lacks_is_not_counted(run: _Run) -> None:
    """The project file may name folders that were added after the snapshot."""
    run.server.refused["/backend"] = Refused(404, "NotFound", "Folder not found")
    assert "12 secrets in 12 folders" in run.prove()[0]


def test_a_snapshot_from_before_the_project_names_the_project(run: _Run) -> None:
    run.server.project = None
    assert "no project chainalign" in run.prove()[0]


def test_a_restore_whose_administrator_can_not_log_in_is_not_proven(run: _Run) -> None:
    run.remove_login("administrator")
    failure = _failure(run.prove)
    assert "/etc/infisical/admin.env" in failure.message
    assert failure.code == "checks"


def test_the_deployer_reads_the_folders_as_later_runs_do(run: _Run) -> None:
    tokens = set()

    def respond(query: Any) -> Any:
        tokens.add(run.server.token)
        return run.server._list_secrets(query)

    run.server.routes.insert(0, ("GET", "/v4/secrets", respond))
    notes = run.prove()
    assert tokens == {"token"}
    assert not any("deployer" in each for each in notes)


def test_without_a_deployer_in_the_snapshot_the_administrator_reads_the_folders(run: _Run) -> None:
    run.remove_login("deployer")
    sample, deployer, *_ = run.prove()
    assert "15 secrets in 15 folders" in sample
    assert "deployer" in deployer


def _store_credentials(run: _Run, **ids: str) -> None:
    """Put credentials on the host, given the client id for each service and environment."""
    for name, id in ids.items():
        service, _, environment = name.partition("_")
        text = render(Credential(environment, id, f"secret-{id}", f"fake-{id}"))
        run.host.write(f"/etc/infisical/credentials/{service}.{environment}.env", text)


def _about_credentials(notes: list[str]) -> list[str]:
    return [each for each in notes if "log in" in each or "infisical-iac apply" in each]


def test_services_whose_credentials_no_longer_work_are_named(run: _Run) -> None:
    """A try that failed is not repeated, since Infisical would lock the identity."""
    _store_credentials(run, backend_production="c1", backend_staging="c2")
    run.host.write("/etc/infisical/credentials/backend.development.env", "garbled")
    run.valid = {"c1"}
    number, failing = _about_credentials(run.prove())
    assert "1 of 6" in number
    assert sorted(run.logins) == [("c1", "fake-c1"), ("c2", "fake-c2")]
    names = failing.partition(": ")[2].partition(". ")[0]
    assert names.split(", ") == [
        *("backend.development", "backend.staging"),
        *(f"python-service.{each}" for each in ("development", "staging", "production")),
    ]
    assert "/etc/infisical/credentials" in failing


def test_credentials_that_all_work_are_only_counted(run: _Run) -> None:
    text = TEXT.replace("  python-service: {folder: /services/python}\n", "")
    _store_credentials(run, backend_development="c1", backend_staging="c2", backend_production="c3")
    run.valid = {"c1", "c2", "c3"}
    (number,) = _about_credentials(run.prove(text=text))
    assert "3 of 3" in number


def test_credentials_of_a_service_that_was_renamed_since_are_tried(run: _Run) -> None:
    text = TEXT.replace("{folder: /backend,", "{folder: /backend, renamed_from: api,")
    _store_credentials(run, api_production="c1")
    run.valid = {"c1"}
    number, failing = _about_credentials(run.prove(text=text))
    assert "1 of 6" in number
    assert "backend.production" not in failing


def test_a_server_that_answers_logins_with_an_error_fails_the_proof(run: _Run) -> None:
    _store_credentials(run, backend_production="c1")
    run.status = 403
    with pytest.raises(AnswerError):
        run.prove()


def test_access_that_the_restore_revived_or_removed_is_listed(run: _Run) -> None:
    run.before = {"gone": "identity made-since"}
    run.server.identities["i9"] = {"id": "i9", "name": "revoked-since", "role": "no-access"}
    notes = run.prove()
    assert notes.index("  identity revoked-since") < notes.index("  identity made-since")
    headings = [each for each in notes if each.endswith(":")]
    assert [notes[notes.index(each) + 1][:2] for each in headings] == ["  ", "  "]


def test_access_that_did_not_change_is_not_listed(run: _Run) -> None:
    before = read_access(
        run.server.client(), run.server.client(ADMIN_TOKEN), "o", [run.server.project or {}]
    )
    assert before
    run.before = before
    assert not any(each.endswith(":") or each.startswith("  ") for each in run.prove())


def test_access_is_compared_in_the_organization_in_which_it_was_read_before(run: _Run) -> None:
    """An administrator may be in other organizations, since every user may create some."""
    asked = set()

    def respond(query: Any) -> Any:
        asked.add(query["orgId"])
        return run.server._list_identities(query)

    run.server.routes.insert(0, ("GET", "/v1/identities", respond))
    run.prove()
    of_deployer = run.server._details({})["identityDetails"]["organization"]["id"]
    assert asked == {of_deployer}
    asked.clear()
    run.remove_login("deployer")
    run.prove()
    assert asked == {"only"}


def test_the_administrator_logs_in_to_the_deployers_organization(run: _Run) -> None:
    """The organization is known once the deployer has logged in."""
    run.prove()
    of_deployer = run.server._details({})["identityDetails"]["organization"]["id"]
    assert run.sessions == ["deployer", f"administrator in {of_deployer}"]


def test_access_that_was_unreadable_before_the_restore_is_reported_for_review(run: _Run) -> None:
    run.before = None
    (note,) = [each for each in run.prove() if "identities" in each]
    assert "can't be listed" in note


@pytest.mark.parametrize("missing", ["deployer", "administrator"])
def test_access_is_unknown_if_the_old_data_can_not_be_read(run: _Run, missing: str) -> None:
    run._patch.setattr("infisical_iac.agent.api.LoopbackClient.answers", lambda _: True)
    address = {"url": "http://secrets.example.com"}

    def record() -> BeforeRestore:
        return restore_proof.record_before(
            run.host, project="chainalign", port=8080, address=address
        )

    assert record().access
    run.remove_login(missing)
    assert record().access is None
