"""Test which page `infisical-iac docs` prints for a name."""

import re

import pytest
from click.testing import CliRunner, Result

from infisical_iac.cli.main import main
from infisical_iac.core.bundle import DOCS, ROOT


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["docs", *arguments])


def test_index_is_printed_without_a_name() -> None:
    assert _run().stdout == (DOCS / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["docs/operate/keys.md", "operate/keys", "keys", "docs/operate/keys.md#rotation"]
)
def test_page_has_the_name_that_messages_give_it(name: str) -> None:
    assert _run(name).stdout == (DOCS / "operate/keys.md").read_text()


def test_a_folder_name_prints_its_readme() -> None:
    assert _run("operate/cluster").stdout == (DOCS / "operate/cluster/README.md").read_text()


@pytest.mark.parametrize(
    ("name", "fact"),
    [("key", "'operate/keys'"), ("zzzz", "`infisical-iac docs`"), ("../pyproject", "no page")],
)
def test_unknown_page_is_an_error(name: str, fact: str) -> None:
    done = _run(name)
    assert done.exit_code == 1
    assert fact in done.stderr


def test_pages_that_messages_name_exist() -> None:
    files = [
        file
        for place in ("infisical_iac", "templates", "group_data")
        for file in (ROOT / place).rglob("*")
        if file.is_file() and file.suffix in {".py", ".sh", ".j2", ".yaml"}
    ]
    named = {page for file in files for page in re.findall(r"docs/[\w/.-]+\.md", file.read_text())}
    assert len(named) > 10
    assert [page for page in sorted(named) if not (ROOT / page).is_file()] == []
