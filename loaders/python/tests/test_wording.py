"""Test the wording of messages. Other tests assert codes and facts."""

import time
from pathlib import Path

import pytest

from infisical_config import Cache, ConfigError, load
from infisical_config.__main__ import child_environment
from tests import service
from tests.scripted import DOWN, ScriptedServer, listing


def test_wording_of_a_start_with_the_cache(
    tmp_path: Path, server: ScriptedServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache.json")
    load(directory=home, cache=cache)
    server.scripts["login"] = [DOWN]
    later = time.time() + 3 * 3600 + 60
    monkeypatch.setattr("infisical_config.cache.time.time", lambda: later)
    warnings: list[str] = []
    load(directory=home, cache=cache, warn=warnings.append)
    assert warnings == [
        f"{server.address} answers 503: read its log, and start again once it is healthy."
        f" STARTING WITH THE CACHE {cache.file}, which is 3 h old"
    ]


def test_wording_of_missing_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as failure:
        load(directory=tmp_path)
    assert str(failure.value) == (
        "the project and the address of Infisical are not set: put workspaceId and domain into"
        " .infisical.json, or set INFISICAL_PROJECT_ID and INFISICAL_DOMAIN"
    )


def test_wording_of_names_that_are_not_passed_on(server: ScriptedServer, home: Path) -> None:
    server.scripts["list"] = [listing(A="a", LD_PRELOAD="x", N="\0")]
    warnings: list[str] = []
    child_environment(directory=home, warn=warnings.append)
    assert warnings == [
        "withheld unless `allow` names them, because they could take over a process: LD_PRELOAD; "
        "not set, because no environment can hold them: N"
    ]


@pytest.mark.usefixtures("without_credential")
def test_wording_of_names_in_env_local_that_are_ignored(home: Path) -> None:
    file = service.env_local(home, "DATABASE_URL=x\nPORT=1\n")
    warnings: list[str] = []
    load(directory=home, warn=warnings.append)
    assert warnings == [
        f"{file}: DATABASE_URL, PORT are ignored: secrets belong in Infisical, your own values"
        " below a line `# overrides`"
    ]


def test_wording_of_strict_mode(home: Path) -> None:
    warnings: list[str] = []
    load(directory=home, strict=True, required=["A"], warn=warnings.append)
    assert warnings == ["left out, because strict mode is on and nothing requests them: B"]
