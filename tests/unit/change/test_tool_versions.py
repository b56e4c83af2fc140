"""Test that versions of this tool are found: the newest, a repository's, and what each changed."""

import json
import sys
from pathlib import Path

import pytest

from infisical_iac.change import tool_versions
from infisical_iac.change.tool_versions import (
    PackageClient,
    ask_newest,
    detect_client,
    find_pin,
    index_variables,
    parse_newest,
    read_changelog,
    select_sections,
)
from infisical_iac.core import bundle
from infisical_iac.core.bundle import NAME
from infisical_iac.core.errors import Unreachable, UserError


@pytest.fixture
def _is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tool appear as installed by pip from an index."""
    monkeypatch.setattr(bundle, "IS_INSTALLED", True)
    monkeypatch.setattr(tool_versions, "_installer", lambda: "pip")
    monkeypatch.delenv("UV", raising=False)


def _detect(prefix: Path, **programs: str) -> PackageClient:
    found = detect_client(prefix, which=programs.get)
    assert found
    return found


def test_no_client_is_asked_for_a_clone(tmp_path: Path) -> None:
    """These tests run from a clone."""
    assert detect_client(tmp_path) is None


@pytest.mark.usefixtures("_is_installed")
def test_uv_tool_is_asked_for_a_tool_of_uv(tmp_path: Path) -> None:
    (tmp_path / "uv-receipt.toml").touch()
    client = _detect(tmp_path, uv="/usr/bin/uv")
    assert client.command == ("/usr/bin/uv", "tool", "list", "--outdated")
    assert client.upgrade == "uv tool upgrade infisical-iac"


@pytest.mark.usefixtures("_is_installed")
def test_indexes_are_asked_for_a_project_of_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_versions, "_installer", lambda: "uv")
    monkeypatch.setenv("UV", "/opt/uv")
    client = _detect(tmp_path)
    assert client.command[:3] == ("/opt/uv", "pip", "compile")
    assert client.given == "infisical-iac\n"
    assert client.upgrade.format("0.2.0") == "uv add infisical-iac==0.2.0"


@pytest.mark.usefixtures("_is_installed")
def test_indexes_are_asked_for_a_tool_of_pipx(tmp_path: Path) -> None:
    """An index may have a password, so it is no argument."""
    arguments = ["--index-url=https://u:fake@packages.example.com/simple", "--no-deps"]
    metadata = {"main_package": {"package": NAME, "pip_args": arguments}}
    (tmp_path / "pipx_metadata.json").write_text(json.dumps(metadata))
    client = _detect(tmp_path)
    assert client.command == ("pipx", "runpip", NAME, "index", "versions", NAME)
    assert client.environment == {"PIP_INDEX_URL": "https://u:fake@packages.example.com/simple"}


@pytest.mark.usefixtures("_is_installed")
@pytest.mark.parametrize("text", ["", "[]", "{}", '{"main_package": {"pip_args": null}}'])
def test_unreadable_metadata_of_pipx_name_no_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "pipx_metadata.json").write_text(text)
    assert _detect(tmp_path).environment == {}


@pytest.mark.usefixtures("_is_installed")
def test_pip_is_asked_in_every_other_environment(tmp_path: Path) -> None:
    assert _detect(tmp_path).command[:4] == (sys.executable, "-m", "pip", "index")


@pytest.mark.usefixtures("_is_installed")
def test_a_tool_of_uv_needs_uv(tmp_path: Path) -> None:
    (tmp_path / "uv-receipt.toml").touch()
    with pytest.raises(UserError) as error:
        _detect(tmp_path)
    assert error.value.code == "error.no_client"


def test_indexes_are_taken_from_the_arguments_of_pip() -> None:
    arguments = ["-i", "https://a.example", "--extra-index-url", "https://b.example"]
    arguments += ["--extra-index-url=https://c.example", "--no-index", "-f", "dist", "--pre"]
    assert index_variables(arguments) == {
        "PIP_INDEX_URL": "https://a.example",
        "PIP_EXTRA_INDEX_URL": "https://b.example https://c.example",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "dist",
    }


def _make_client(
    output: str, pattern: str, *, status: int = 0, is_silent: bool = False
) -> PackageClient:
    program = f"import sys; sys.stdout.write({output!r}); sys.exit({status})"
    return PackageClient(
        *("fake", (sys.executable, "-c", program), pattern, "upgrade", "run"), is_silent=is_silent
    )


_TOOL = rf"^{NAME} v\S+ \[latest: v?(\S+)\]"


@pytest.mark.usefixtures("_is_installed")
@pytest.mark.parametrize(
    ("kind", "output", "expected"),
    [
        # As uv 0.13.9, and pip 23.2.1 and 25.1, print it.
        (
            "tool",
            "ruff v0.2.0 [latest: 0.9.0]\n- ruff\ninfisical-iac v0.1.0 [latest: 0.2.0]\n",
            "0.2.0",
        ),
        ("tool", "ruff v0.2.0 [latest: 0.9.0]\n- ruff\n", ""),
        ("compile", "infisical-iac==0.2.0\n", "0.2.0"),
        ("pip", "infisical-iac (0.2.0)\nAvailable versions: 0.2.0, 0.1.0\n", "0.2.0"),
        ("pip", "infisical-iac-extra (9.9)\n", ""),
        ("pip", "", ""),
    ],
)
def test_the_newest_version_is_found_in_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, output: str, expected: str
) -> None:
    if kind == "tool":
        (tmp_path / "uv-receipt.toml").touch()
    if kind == "compile":
        monkeypatch.setattr(tool_versions, "_installer", lambda: "uv")
    assert parse_newest(_detect(tmp_path, uv="uv"), output) == expected


def test_no_output_of_a_silent_client_means_no_newer_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle, "version", lambda: "0.1.0")
    assert ask_newest(_make_client("", _TOOL, is_silent=True), timeout=60) == "0.1.0"


@pytest.mark.parametrize(("output", "status"), [("", 0), ("", 1), ("infisical-iac (0.2.0)", 2)])
def test_a_client_without_an_answer_is_unreachable(output: str, status: int) -> None:
    client = _make_client(output, rf"^{NAME} \((\S+)\)", status=status)
    with pytest.raises(Unreachable) as error:
        ask_newest(client, timeout=60)
    assert error.value.code == "unreachable.package_client"


def test_a_client_that_stalls_is_ended() -> None:
    client = PackageClient("fake", (sys.executable, "-c", "input()"), "x", "", "")
    stalling = PackageClient(
        "fake", (sys.executable, "-c", "import time; time.sleep(600)"), "x", "", ""
    )
    with pytest.raises(Unreachable, match=r"0\.2 s"):
        ask_newest(stalling, timeout=0.2)
    with pytest.raises(Unreachable):  # A question of the client would get no answer.
        ask_newest(client, timeout=60)


def test_a_missing_client_is_reported() -> None:
    with pytest.raises(UserError) as error:
        ask_newest(PackageClient("fake", ("/nowhere/fake",), "x", "", ""), timeout=1)
    assert error.value.code == "error.no_client"


_TEXT = """\
# Changelog

## Unreleased

- Not yet.

## 0.10.0 - 2026-12-24

### Added

- A tenth thing.

## [0.2.0]

- A second thing.

## 0.1.0

- A first thing.
"""


@pytest.mark.parametrize(
    ("after", "until", "expected"),
    [
        ("0.1.0", "0.10.0", ["0.10.0", "0.2.0"]),
        ("0.1.0", "0.2.0", ["0.2.0"]),
        ("0.2.0", "0.10.0", ["0.10.0"]),
        ("0.10.0", "0.10.0", []),
        ("0.10.0", "0.1.0", []),
        ("0.0.1", "0.1.0", ["0.1.0"]),
    ],
)
def test_sections_between_two_versions_are_found(
    after: str, until: str, expected: list[str]
) -> None:
    found = select_sections(_TEXT, after=after, until=until)
    assert [each.version for each in found] == expected


def test_a_section_ends_at_the_next_heading() -> None:
    (tenth, second) = select_sections(_TEXT, after="0.1.0", until="0.10.0")
    assert tenth.text == "### Added\n\n- A tenth thing."
    assert second.text == "- A second thing."


def test_the_clone_has_a_changelog() -> None:
    assert read_changelog().startswith("# Changelog\n")


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        ('["infisical-iac==0.1.0"]', "0.1.0"),
        ('["httpx", "infisical-iac == 0.2.1 ; python_version > \'3\'"]', "0.2.1"),
        ('["infisical-iac>=0.1.0"]', ""),
        ('["infisical-iac-other==0.1.0"]', ""),
        ("[]", ""),
        ("3", ""),
    ],
)
def test_the_pin_of_a_repository_is_found(dependencies: str, expected: str) -> None:
    text = f"[project]\nname = 'x'\ndependencies = {dependencies}\n"
    assert find_pin(text, "infisical-iac") == expected


@pytest.mark.parametrize("text", ["", "[tool.x]\n", "not toml", "[project]\nname = 'x'\n"])
def test_a_repository_without_a_pin_is_accepted(text: str) -> None:
    assert find_pin(text, "infisical-iac") == ""
