"""Test the options of `load`, and unusual files."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infisical_config import ConfigError, files, load
from tests import service
from tests.scripted import APIS, LOGIN, ScriptedServer, eventually, listing, refusal


@pytest.mark.parametrize(
    ("api", "path", "names"),
    [
        ("v4", "/api/v4/secrets", ("projectId", "includeImports")),
        ("v3", "/api/v3/secrets/raw", ("workspaceId", "include_imports")),
    ],
)
def test_a_start_asks_for_raw_values_with_imports_of_one_folder(
    api: str, path: str, names: tuple[str, str], tmp_path: Path
) -> None:
    with ScriptedServer(listed=[listing(A="1")], has_v4=APIS[api]) as server:
        load(directory=service.directory(tmp_path, server.address))
    login, listed = server.seen
    assert login.path == "/api/v1/auth/universal-auth/login"
    assert listed.headers["authorization"] == "Bearer token-example"
    asked, _, query = listed.path.partition("?")
    project, imports = names
    assert asked == path
    assert set(query.split("&")) == {
        f"{project}={service.PROJECT}",
        "environment=production",
        "secretPath=%2Fbackend",
        "viewSecretValue=true",
        "expandSecretReferences=false",
        "recursive=false",
        f"{imports}=true",
    }


@pytest.mark.parametrize("error", ["NotFound", "SecretPathNotFound"])
def test_the_older_api_is_not_tried_if_only_the_project_or_the_folder_is_missing(
    error: str, server: ScriptedServer, home: Path
) -> None:
    server.scripts["list"] = [refusal(404, "Route 66 not found", error)]
    with pytest.raises(ConfigError) as failure:
        load(directory=home)
    assert (failure.value.code, server.count("list")) == ("not_found", 1)


def test_infisical_json_is_found_in_a_parent_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "src").mkdir()
    monkeypatch.chdir(home / "src")
    assert load().A == "value-of-a"


def test_no_variable_is_set_without_into(home: Path) -> None:
    before = dict(os.environ)
    load(directory=home)
    assert dict(os.environ) == before


def test_values_are_set_in_the_given_mapping(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "own")
    monkeypatch.setenv("B", "")
    monkeypatch.delenv("B")
    load(directory=home, into=os.environ)
    assert (os.environ["A"], os.environ["B"]) == ("own", "value-of-b")
    into: dict[str, str] = {}
    load(directory=home, into=into, override=True)
    assert into == {"A": "value-of-a", "B": "value-of-b"}


def test_no_variable_is_set_if_a_required_name_is_missing(home: Path) -> None:
    into: dict[str, str] = {}
    with pytest.raises(ConfigError, match=r"^C missing in production /backend"):
        load(directory=home, into=into, required=["A", "C"])
    assert into == {}


def test_a_value_that_is_not_unicode_text_is_not_exported(
    server: ScriptedServer, home: Path
) -> None:
    server.scripts["list"] = [listing(A="half of a pair: \ud83d", B="b")]
    into: dict[str, str] = {}
    warnings: list[str] = []
    assert len(load(directory=home, into=into, warn=warnings.append)) == 2
    assert into == {"B": "b"}
    (warning,) = warnings
    assert warning.startswith("not set, ")
    assert warning.endswith(": A")
    load(directory=home, warn=warnings.append)
    assert len(warnings) == 1


@pytest.mark.usefixtures("without_credential")
def test_other_names_in_env_local_are_reported_once(home: Path) -> None:
    file = service.env_local(home, "NODE_ENV=development\nDATABASE_URL=x\nexport PORT=1\nno line\n")
    warnings: list[str] = []
    load(directory=home, warn=warnings.append)
    (warning,) = warnings
    assert warning.startswith(f"{file}: DATABASE_URL, PORT are ignored")


@pytest.mark.usefixtures("without_credential")
def test_a_line_within_a_key_in_env_local_is_counted_and_not_printed(home: Path) -> None:
    file = service.env_local(home, 'KEY="-----BEGIN\nc2VjcmV0LWV4YW1wbGU==\n-----END"\n')
    warnings: list[str] = []
    load(directory=home, warn=warnings.append)
    (warning,) = warnings
    assert warning.startswith(f"{file}: KEY, 1 of another form ")
    assert "c2VjcmV0" not in warning


@pytest.mark.usefixtures("without_credential")
def test_a_warning_goes_to_standard_error(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = service.env_local(home, "PORT=1\n")
    load(directory=home)
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"infisical-config: {file}: PORT is ignored")
    assert errors.endswith("\n")
    assert len(errors.splitlines()) == 1


@pytest.mark.usefixtures("without_credential")
def test_an_env_local_of_another_encoding_is_reported(home: Path) -> None:
    service.env_local(home, "", "utf-16")
    with pytest.raises(ConfigError, match=r"\.env\.local is not .* UTF-8") as failure:
        load(directory=home)
    assert failure.value.code == "not_configured"


def test_an_env_local_that_is_ignored_is_not_opened(home: Path) -> None:
    (home / ".env.local").symlink_to("nowhere")
    warnings: list[str] = []
    load(directory=home, warn=warnings.append)
    assert [each.partition(",")[0] for each in warnings] == [f"{home}/.env.local is ignored"]


def test_a_file_in_a_parent_that_anybody_may_write_to_is_not_read(
    home: Path, server: ScriptedServer
) -> None:
    (home / "below").mkdir()
    home.chmod(0o1777)
    warnings: list[str] = []
    with pytest.raises(ConfigError, match="put workspaceId and domain") as failure:
        load(directory=home / "below", warn=warnings.append)
    assert failure.value.code == "not_configured"
    (warning,) = warnings
    assert warning.startswith(f"{home}/.infisical.json is not read, ")
    assert "somebody else" in warning
    assert server.seen == []


@pytest.mark.usefixtures("without_credential")
def test_an_env_local_that_somebody_else_put_there_is_not_read(
    home: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root can read every file, including one that a user has put into /tmp."""
    file = service.env_local(home, "")
    home.chmod(0o1777)
    inspect = files._inspect
    foreign = {"file": os.getuid() + 1}
    monkeypatch.setattr(
        files, "_inspect", lambda file: (found := inspect(file)) and found._replace(**foreign)
    )
    monkeypatch.setenv("INFISICAL_PROJECT_ID", service.PROJECT)
    monkeypatch.setenv("INFISICAL_DOMAIN", server.address)
    (home / ".infisical.json").unlink()
    with pytest.raises(ConfigError, match="belongs to another user"):
        load(directory=home)
    assert file.exists()


def test_a_file_that_cannot_be_read_is_reported(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    with pytest.raises(ConfigError) as failure:
        load(directory=home)
    file = home / ".infisical.json"
    assert failure.value.code == "not_configured"
    assert str(failure.value).startswith(f"{file} can't be read (Permission denied)")


def test_a_password_in_the_address_is_not_repeated(home: Path) -> None:
    service.directory(home, "https://user:hunter2@secrets.example.com")
    with pytest.raises(ConfigError) as failure:
        load(directory=home)
    assert "'secrets.example.com'" in str(failure.value)
    assert "hunter2" not in str(failure.value)


def test_an_option_that_does_not_exist_is_refused(home: Path) -> None:
    options: dict[str, Any] = {"requird": ["A"]}
    with pytest.raises(TypeError, match="requird"):
        load(directory=home, **options)


def test_a_netrc_does_not_replace_the_token(
    server: ScriptedServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    load(directory=home)
    assert server.seen[1].headers["authorization"] == "Bearer token-example"


def test_a_missing_server_is_reported_when_no_further_attempt_fits(home: Path) -> None:
    service.directory(home, "http://127.0.0.1:1")
    begin = time.monotonic()
    with pytest.raises(ConfigError) as failure:
        load(directory=home, timeout=1)
    assert (failure.value.code, failure.value.exit_code) == ("unreachable", 75)
    assert time.monotonic() - begin < 1


@pytest.fixture
def at_work() -> Callable[[], bool]:
    """Return whether a thread of the loader runs that did not run before, as the SDK's may."""
    before = {*threading.enumerate()}
    return lambda: any(
        thread.name == "infisical-config" for thread in {*threading.enumerate()} - before
    )


def test_a_stalled_request_is_not_left_waiting(
    server: ScriptedServer, home: Path, at_work: Callable[[], bool]
) -> None:
    server.scripts["login"] = [{"stall": "headers"}]
    with pytest.raises(ConfigError, match=r"did not answer within 0\.2 s"):
        load(directory=home, timeout=0.2)
    assert eventually(lambda: not at_work(), 1)


def test_no_request_is_made_after_the_deadline(
    server: ScriptedServer, home: Path, at_work: Callable[[], bool]
) -> None:
    server.scripts["login"] = [{**LOGIN, "drip": 0.005}]
    with pytest.raises(ConfigError, match=r"did not answer within 0\.2 s"):
        load(directory=home, timeout=0.2)
    assert at_work()
    assert eventually(lambda: not at_work())
    assert [seen.kind for seen in server.seen] == ["login"]
