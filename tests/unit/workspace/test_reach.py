"""Test where credentials are sent, and which files pruning reads and removes on a host."""

import subprocess
from pathlib import Path

import pytest

from infisical_iac.agent import contents
from infisical_iac.api import login
from infisical_iac.core import remote
from infisical_iac.core.errors import SettingsError
from infisical_iac.core.validation import is_confidential
from infisical_iac.workspace import reach


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of the credentials; this machine is the host."""

    def run(command: str, *, doing: str) -> str:
        return subprocess.run(
            command, shell=True, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(reach, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(remote, "run", run)
    return tmp_path


def _write(path: Path, client_id: str) -> str:
    secret = "INFISICAL_CLIENT_SECRET=fake-secret"
    path.write_text(f"# comment\nINFISICAL_CLIENT_ID={client_id}\n{secret}\n", encoding="utf-8")
    return str(path)


def test_only_the_client_ids_of_credentials_are_read(directory: Path) -> None:
    one, two = (_write(directory / f"{name}.qa.env", f"id-{name}") for name in ("one", "two"))
    (directory / "other.env").write_text("A=b\n", encoding="utf-8")
    assert reach._credentials() == {one: "id-one", two: "id-two"}


def test_a_single_file_and_no_file_are_read(directory: Path) -> None:
    assert reach._credentials() == {}
    one = _write(directory / "one.qa.env", "id-one")
    assert reach._credentials() == {one: "id-one"}


def test_only_the_named_files_are_removed(directory: Path) -> None:
    one, two = (_write(directory / f"{name}.env", "id") for name in ("$(one) two", "three"))
    reach._discard([])
    reach._discard([one, str(directory / "gone.env")])
    assert [str(each) for each in directory.iterdir()] == [two]


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that credentials were sent to, with a complete set of variables."""
    sent: list[str] = []
    monkeypatch.setattr(login, "universal", lambda client, *_: sent.append(repr(client)))
    for name in ("INFISICAL_CLIENT_ID", "INFISICAL_CLIENT_SECRET", "INFISICAL_ADMIN_EMAIL"):
        monkeypatch.setenv(name, "fake@example.com")
    return sent


def _reach(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFISICAL_API_URL", url)
    with reach.reach("none", Path("group_data/chainalign.yaml"), "privilege"):
        pass


@pytest.mark.parametrize(
    ("slugs", "isolation"),
    [
        ([], "privilege"),
        (["chainalign", "chainalign-backend-production"], "privilege"),  # while secrets move
        (["other", "chainalign-shared-staging"], "projects"),
    ],
)
def test_the_isolation_at_a_url_follows_from_the_projects_that_are_there(
    logins: list[str], monkeypatch: pytest.MonkeyPatch, slugs: list[str], isolation: str
) -> None:
    listed = [{"id": each, "slug": each} for each in slugs]
    monkeypatch.setattr(contents, "projects", lambda _: listed)
    monkeypatch.setenv("INFISICAL_API_URL", "https://secrets.example.com")
    with reach.reach("none", Path("group_data/chainalign.yaml"), None) as reached:
        assert reached.isolation == isolation


@pytest.mark.parametrize(
    "url",
    [
        "http://secrets.example.com",
        "http://infisical:8080/api",
        "http://10.0.0.5:8080",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost@example.com",
        "http://localhost\\.example.com",
    ],
)
def test_credentials_are_not_sent_to_another_machine_in_plain_http(
    url: str, logins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError) as refusal:
        _reach(url, monkeypatch)
    shown = url.replace("localhost@", "***@")  # errors mask what may be a login
    assert refusal.value.code == "settings.unencrypted"
    assert repr(shown) in str(refusal.value)
    assert logins == []
    monkeypatch.setenv("INFISICAL_ALLOW_HTTP", "0")
    with pytest.raises(SettingsError) as refusal:
        _reach(url, monkeypatch)
    assert refusal.value.code == "settings.unencrypted"


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080",
        "http://127.9.0.1",
        "http://[::1]:8080",
        "https://secrets.example.com",
    ],
)
def test_credentials_are_sent_to_this_machine_and_encrypted(
    url: str, logins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_confidential(url)
    _reach(url, monkeypatch)
    assert logins == [f"Client('{url}', authorized=False)"]


def test_plain_http_can_be_allowed(logins: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFISICAL_ALLOW_HTTP", "1")
    _reach("http://infisical:8080", monkeypatch)
    (client,) = logins
    assert "http://infisical:8080" in client
    assert "authorized=False" in client
