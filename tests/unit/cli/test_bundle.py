"""Test which page `infisical-iac docs` prints, and how `eject` lists and copies templates."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.bundle import find_page
from infisical_iac.cli.main import main
from infisical_iac.core.bundle import DOCS, ROOT

_OWN = Path("templates/stack/compose.yaml.j2")


@pytest.fixture(autouse=True)
def _repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _eject(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["eject", *arguments])


def test_without_a_name_all_templates_are_listed() -> None:
    _eject("compose.yaml")
    done = _eject()
    assert done.exit_code == 0
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert lines["stack/compose.yaml"] == ["current", "0.1.0"]
    assert lines["stack/Caddyfile"] == []


def test_a_template_is_copied_and_named() -> None:
    done = _eject("compose.yaml")
    assert done.exit_code == 0
    assert str(_OWN) in done.stdout
    assert _OWN.is_file()


def test_the_difference_is_printed_and_nothing_is_written() -> None:
    _eject("compose.yaml")
    assert "the same" in _eject("compose.yaml", "--diff").stdout
    _OWN.write_text(_OWN.read_text() + "# mine\n")
    assert _eject("compose.yaml", "--diff").stdout.splitlines()[-1] == "+# mine"


def test_the_users_template_is_kept() -> None:
    _eject("compose.yaml")
    _OWN.write_text("mine\n")
    assert _eject("compose.yaml", "--keep-mine").exit_code == 0
    assert _OWN.read_text() == "mine\n"


@pytest.mark.parametrize(
    "arguments", [["--diff"], ["--keep-mine"], ["compose.yaml", "--diff", "--keep-mine"], ["zzz"]]
)
def test_incomplete_or_contradictory_arguments_are_refused(arguments: list[str]) -> None:
    done = _eject(*arguments)
    assert done.exit_code == 1
    assert not Path("templates").exists()


def _docs(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["docs", *arguments])


def test_index_is_printed_without_a_name() -> None:
    assert _docs().stdout == (DOCS / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["docs/operate/keys.md", "operate/keys", "keys", "docs/operate/keys.md#rotation"]
)
def test_page_has_the_name_that_messages_give_it(name: str) -> None:
    assert _docs(name).stdout == (DOCS / "operate/keys.md").read_text()


def test_a_folder_name_prints_its_readme() -> None:
    assert _docs("operate/cluster").stdout == (DOCS / "operate/cluster/README.md").read_text()


@pytest.mark.parametrize(
    ("name", "fact"),
    [("key", "'operate/keys'"), ("zzzz", "`infisical-iac docs`"), ("../pyproject", "no page")],
)
def test_unknown_page_is_an_error(name: str, fact: str) -> None:
    done = _docs(name)
    assert done.exit_code == 1
    assert fact in done.stderr


def test_pages_that_messages_name_exist() -> None:
    files = [
        file
        for place in ("infisical_iac", "templates", "group_data")
        for file in (ROOT / place).rglob("*")
        if file.is_file() and file.suffix in {".py", ".sh", ".j2", ".yaml"}
    ]
    page = re.compile(r"docs/[\w/.-]+\.md|(?<=`infisical-iac docs )[\w/-]+")
    named = {name for file in files for name in page.findall(file.read_text())}
    assert len(named) > 10
    assert [name for name in sorted(named) if not find_page(name).is_file()] == []
