"""Test that a restore reads the canary and every folder before it is proven."""

import json
import shlex
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from infisical_iac.agent.keys import KitContents
from infisical_iac.agent.proof_model import Before
from infisical_iac.api.client import Client
from infisical_iac.backup import kit_host, restore, restore_deploy, snapshot
from infisical_iac.backup.manifest import Manifest
from infisical_iac.backup.restore import Restored
from infisical_iac.core import journal
from infisical_iac.core.errors import ApiError, CheckFailed, NotBootstrapped
from infisical_iac.core.journal import Journal
from infisical_iac.host.site import Site
from infisical_iac.stack import edge, session
from infisical_iac.workspace import canary, checks, reconcile
from infisical_iac.workspace.credential_file import Credential, render
from infisical_iac.workspace.load import load
from tests.unit import clusters
from tests.unit.deployment import TEXT, Deployment
from tests.unit.fake_infisical import UNREADABLE, FakeInfisical
from tests.unit.fake_people import ADMIN_TOKEN
from tests.unit.fake_state import Refused
from tests.unit.operations.cases import of
from tests.unit.performed import perform
from tests.unit.settings_of import settings_of

_MANIFEST = Manifest("2026-11-25T02:30:11Z", "secrets", "v0.165.16", "17.11", "0123", {})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeInfisical:
    """A restored server with a canary and one secret in each folder."""
    monkeypatch.setattr(restore_deploy, "latest", lambda: Restored(_MANIFEST, None))
    monkeypatch.setattr(reconcile, "read_text", lambda path: "")
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
    """Return the sentences of the proof about a server's contents."""
    return restore_deploy._contents(server.client(), load(TEXT))


def test_canary_and_folders_are_read_with_a_timeout_of_ten_minutes(server: FakeInfisical) -> None:
    (sentence,) = _contents(server)
    assert _MANIFEST.at in sentence
    assert "15 secrets in 15 folders" in sentence
    assert server.patience == {600.0}


def test_a_snapshot_without_a_canary_is_accepted_and_reported(server: FakeInfisical) -> None:
    server.others.clear()
    sentence, *rest = _contents(server)
    assert "15 secrets in 15 folders" in sentence
    assert rest == [canary.NONE]


def test_an_altered_canary_fails_the_proof(server: FakeInfisical) -> None:
    server.others[0].write(secretValue="garbled")
    with pytest.raises(CheckFailed, match="the canary was altered") as failed:
        _contents(server)
    assert failed.value.code == "checks.canary"


def test_a_folder_that_cannot_be_read_is_named(server: FakeInfisical) -> None:
    server.refused["/backend"] = UNREADABLE
    with pytest.raises(CheckFailed, match=r" /backend in development ") as failed:
        _contents(server)
    assert failed.value.code == "checks.data"


def test_a_folder_that_the_snapshot_lacks_is_not_counted(server: FakeInfisical) -> None:
    """The project file may name folders that were added after the snapshot."""
    server.refused["/backend"] = Refused(404, "NotFound", "Folder not found")
    (sentence,) = _contents(server)
    assert "12 secrets in 12 folders" in sentence


def test_a_snapshot_from_before_the_project_names_the_project(server: FakeInfisical) -> None:
    server.project = None
    (sentence,) = _contents(server)
    assert "no project chainalign" in sentence


class _Run:
    """The proof of a restore, with its effects recorded in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: FakeInfisical) -> None:
        self.server = server
        self.calls: list[str] = []
        self.sessions: list[str] = []
        self.kept: list[str] = []
        self.files: dict[str, str] = {}
        self.valid: set[str] = set()
        self.logins: list[tuple[str, str]] = []
        self.status = 401
        self.journal = Journal(goes_on=False)
        self.record_restored(Restored(_MANIFEST, {}))
        self._patch = monkeypatch
        server.routes.append(("GET", "/v1/organization", self._organizations))
        monkeypatch.setattr(restore_deploy, "host", SimpleNamespace(name="secrets"))
        monkeypatch.setattr(restore_deploy, "_proven", set())
        monkeypatch.setattr(restore_deploy, "latest", lambda: self._latest)
        monkeypatch.setattr(journal, "current", lambda: self.journal)
        monkeypatch.setattr(session, "administrator", lambda port: self._client(ADMIN_TOKEN, port))
        monkeypatch.setattr(session, "deployer", lambda port: self._client("token", port))
        monkeypatch.setattr(session, "api", self._api)
        monkeypatch.setattr(kit_host, "read", lambda: KitContents(self.files, {}))
        monkeypatch.setattr(snapshot, "clean", lambda *names: self._note("clean", *names))
        monkeypatch.setattr(checks, "check_public_address", self._check)
        monkeypatch.setattr(edge, "open_", lambda: self._note("open"))
        monkeypatch.setattr(edge, "open_on", lambda names: self._note("open", *names))
        monkeypatch.setattr(restore, "do", self._do)

    def record_restored(self, latest: Restored) -> None:
        self._latest = latest

    def remove_login(self, who: str) -> None:
        """Remove the login of the administrator or of the deployer."""

        def refuse(port: int) -> Client:
            raise NotBootstrapped("obviously fake")

        self._patch.setattr(session, who, refuse)

    def _note(self, *words: str) -> None:
        self.calls.append(" ".join(words))

    def _client(self, token: str, port: int) -> Client:
        assert port == 8080
        self.sessions.append("administrator" if token == ADMIN_TOKEN else "deployer")
        return self.server.client(token)

    def _organizations(self, _: Any) -> Any:
        assert self.server.token == ADMIN_TOKEN
        return {"organizations": [{"id": "only", "name": "obviously fake"}]}

    def _api(self, port: int) -> Client:
        assert port == 8080
        return Client("http://fake", httpx.MockTransport(self._login))

    def _login(self, request: httpx.Request) -> httpx.Response:
        given = json.loads(request.content)
        self.logins.append((given["clientId"], given["clientSecret"]))
        if given["clientId"] in self.valid:
            return httpx.Response(200, json={"accessToken": "fake-token"})
        return httpx.Response(self.status, json={"message": "refused"})

    def _check(self, _: Any, before: Before, open_edge: Callable[[], None]) -> None:
        assert before == Before({}, public=True)
        open_edge()
        self._note("ask the public address")

    def _do(self, name: str, *, doing: str) -> str:
        self._note(name)
        return "".join(f"{each}\n" for each in self.kept)

    def prove(self, site: Site | None = None, text: str = TEXT) -> list[str]:
        """Prove the restore, and return what is printed for the operator."""
        site = site or Site(settings_of())
        assert perform(of(restore_deploy.restore_proof)(desired=load(text), site=site)) == []
        return self.journal.operator_notes


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, server: FakeInfisical) -> _Run:
    return _Run(monkeypatch, server)


def test_the_edge_opens_after_the_proof_and_before_the_restore_ends(run: _Run) -> None:
    assert not restore_deploy.is_proven()
    run.prove()
    assert run.calls == ["clean /var/lib/infisical-restore infisical-restore", "open", "end"]
    assert restore_deploy.is_proven()


def test_a_public_address_is_checked_again_before_the_restore_ends(run: _Run) -> None:
    run.record_restored(Restored(_MANIFEST, {}, public=True))
    run.prove()
    assert run.calls[1:] == ["open", "ask the public address", "end"]


def test_on_a_cluster_the_edge_of_each_node_opens(run: _Run) -> None:
    run.prove(clusters.site())
    assert run.calls[1:] == ["open node-1 node-2 node-3", "end"]


def test_a_restore_with_an_unreadable_folder_stays_closed_and_unproven(run: _Run) -> None:
    run.server.refused["/backend"] = UNREADABLE
    with pytest.raises(CheckFailed):
        run.prove()
    assert run.calls == []
    assert not restore_deploy.is_proven()


def test_a_restore_whose_administrator_can_not_log_in_stays_closed(run: _Run) -> None:
    run.remove_login("administrator")
    with pytest.raises(CheckFailed, match=r"/etc/infisical/admin\.env") as failed:
        run.prove()
    assert failed.value.code == "checks"
    assert run.calls == []


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
    assert run.calls[-1] == "end"


def _store_credentials(run: _Run, **ids: str) -> None:
    """Put credentials on the host, given the client id for each service and environment."""
    for name, id in ids.items():
        service, _, environment = name.partition("_")
        text = render(Credential(environment, id, f"secret-{id}", f"fake-{id}"))
        run.files[f"credentials/{service}.{environment}.env"] = text


def _about_credentials(notes: list[str]) -> list[str]:
    return [each for each in notes if "log in" in each or "infisical-iac apply" in each]


def test_services_whose_credentials_no_longer_work_are_named(run: _Run) -> None:
    """A try that failed is not repeated, since Infisical would lock the identity."""
    _store_credentials(run, backend_production="c1", backend_staging="c2")
    run.files["credentials/backend.development.env"] = "garbled"
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
    with pytest.raises(ApiError):
        run.prove()
    assert run.calls == []


def test_access_that_the_restore_revived_or_removed_is_listed(run: _Run) -> None:
    run.record_restored(Restored(_MANIFEST, {"gone": "identity made-since"}))
    run.server.identities["i9"] = {"id": "i9", "name": "revoked-since", "role": "no-access"}
    notes = run.prove()
    assert notes.index("  identity revoked-since") < notes.index("  identity made-since")
    headings = [each for each in notes if each.endswith(":")]
    assert [notes[notes.index(each) + 1][:2] for each in headings] == ["  ", "  "]


def test_access_that_did_not_change_is_not_listed(run: _Run) -> None:
    before = restore.read_access(
        run.server.client(), run.server.client(ADMIN_TOKEN), "o", [run.server.project or {}]
    )
    assert before
    run.record_restored(Restored(_MANIFEST, before))
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
    assert run.sessions == ["deployer", "administrator"]


def test_access_that_was_unreadable_before_the_restore_is_reported_for_review(run: _Run) -> None:
    run.record_restored(Restored(_MANIFEST, None))
    (note,) = [each for each in run.prove() if "identities" in each]
    assert "can't be listed" in note


def test_data_that_the_restore_replaced_removed_or_kept_are_named(run: _Run) -> None:
    run.kept = [
        "volume infisical_postgres_before_20261125T180000Z",
        "removed infisical_postgres_given_up_1",
        "given-up infisical_postgres_given_up_2 20261124T101112Z 7",
    ]
    old, removed, kept = run.prove()[-3:]
    assert "docker volume rm infisical_postgres_before_20261125T180000Z" in old
    assert "infisical_postgres_given_up_1" in removed
    assert "infisical_postgres_given_up_2" in kept


def test_the_old_data_of_a_cluster_are_in_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_deploy, "host", SimpleNamespace(name="node-1"))
    (note,) = restore_deploy._old_data({"database": "before_20261125T180000Z"})
    assert "before_20261125T180000Z" in note
    assert "node-1 in /var/lib/infisical-restore/aside" in note


def test_a_restore_on_a_new_host_leaves_no_old_data() -> None:
    assert restore_deploy._old_data({}) == []


def test_the_printed_command_removes_only_the_data_of_this_restore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(restore_deploy, "host", SimpleNamespace(name="secrets"))
    (output,) = restore_deploy._old_data({"volume": "infisical_postgres_before_20261125T180000Z"})
    command = shlex.split(output.rpartition(": ")[2])
    assert command == [
        *("docker", "volume", "rm", "infisical_postgres_before_20261125T180000Z", "&&"),
        *("rm", "-rf", "/var/lib/infisical-restore/aside/20261125T180000Z"),
    ]
