"""Test that the generated pages match the settings and the command line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from infisical_iac.backup.target import KINDS
from infisical_iac.cli.main import main
from infisical_iac.core.settings import SECTION_OF
from infisical_iac.core.validation import SettingsModel
from tests.reference import __main__ as generator
from tests.reference import commands, environment, settings
from tests.reference.docstrings import read_docstrings


@pytest.mark.parametrize("page", [settings, commands], ids=["settings", "commands"])
def test_the_page_is_up_to_date(page: object) -> None:
    """`make docs` updates a stale page."""
    assert page in (settings, commands)
    written = settings.write() if page is settings else commands.write()
    path = settings.PATH if page is settings else commands.PATH
    assert path.read_text() == written


def test_a_changed_default_makes_the_page_stale() -> None:
    changed = settings.write(settings.read_defaults() | {"http_port": 8081})
    assert changed != settings.PATH.read_text()
    assert "- Default: `8081`" in changed


def test_a_changed_option_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = main.get_command(click.Context(main), "plan")
    assert plan
    [option] = [each for each in plan.params if each.name == "as_json"]
    monkeypatch.setattr(option, "help", "Print something else.")
    assert commands.write() != commands.PATH.read_text()


def test_a_stale_page_fails_the_check_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("old\n")
    monkeypatch.setattr(generator, "_PAGES", {page: lambda: "new\n"})
    monkeypatch.setattr("sys.argv", ["reference", "--check"])
    with pytest.raises(SystemExit, match=r"page\.md: stale"):
        generator.main()
    assert page.read_text() == "old\n"
    monkeypatch.setattr("sys.argv", ["reference"])
    generator.main()
    assert page.read_text() == "new\n"


class _Undescribed(SettingsModel):
    color: str
    """Color of the host."""


def test_a_setting_needs_a_docstring_with_the_effect_of_a_change() -> None:
    with pytest.raises(KeyError, match=r"color needs a docstring"):
        settings.split_docstring(_Undescribed, "color")


def test_docstrings_of_attributes_are_read() -> None:
    assert read_docstrings(_Undescribed) == {"color": "Color of the host."}


def test_each_setting_has_its_own_heading() -> None:
    headings = re.findall(r"^### `(\w+)`$", settings.write(), re.MULTILINE)
    connection = ["ssh_hostname", "ssh_user", "ssh_port", "ssh_key"]
    retries = [f"ssh_connect_{name}" for name in ("retries", "retry_min_delay", "retry_max_delay")]
    expected = ["schema_version", *SECTION_OF, *connection, *retries]
    assert sorted(headings) == sorted(expected)


def test_each_default_is_on_the_page() -> None:
    """A setting in `group_data/all.py` without a heading would not be documented."""
    page = settings.write()
    for name, value in settings.read_defaults().items():
        section = page.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
        assert f"- Default: `{settings.literal(value)}`" in section, name


def test_each_environment_variable_is_in_the_reference() -> None:
    known = {*environment.VARIABLES, *(each.name for each in environment.read_inventory())}
    assert sorted(_variables()) == sorted(name for name in known if "<" not in name)


def test_the_login_of_each_kind_of_backup_target_is_in_the_reference() -> None:
    known = {name for name in environment.VARIABLES if "<" in name}
    assert known == {name for kind in KINDS for name in kind.variables("<name>")}


# The name of a backup target follows this prefix.
_PREFIX = "INFISICAL_BACKUP_"
# In the credentials of a service; its loader reads it.
_OF_A_SERVICE = "INFISICAL_ENVIRONMENT"
# The compose file of a drill uses this variable.
_OF_A_DRILL = "INFISICAL_IMAGE"
# In the login of the canary; only the agent reads its file.
_OF_THE_CANARY = {f"INFISICAL_{each}" for each in ("CLIENT_SECRET_ID", "IDENTITY_ID", "PROJECT_ID")}
_BEGINNING = re.compile("(?:INFISICAL|HCLOUD|DOKPLOY)_")
_NAME = re.compile(rf"\b{_BEGINNING.pattern}[A-Z_]+\b")


def _variables() -> set[str]:
    """Return all names in strings of the package that look like environment variables."""
    found = {
        name
        for file in Path("infisical_iac").rglob("*.py")
        # Infisical's own variables have a page of their own.
        if file.name != "variables.py"
        for text in _strings(file)
        for name in _NAME.findall(text)
    }
    return found - {_OF_A_DRILL, _OF_A_SERVICE, _PREFIX} - _OF_THE_CANARY


def _strings(file: Path) -> Iterator[str]:
    text = file.read_text()
    nodes = ast.walk(ast.parse(text)) if _BEGINNING.search(text) else ()
    return (
        each.value
        for each in nodes
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )


def test_each_row_of_the_error_codes_can_be_understood() -> None:
    """No message or remedy consists of what is known only when it runs."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:4]]
        for line in Path("docs/reference/errors.md").read_text().splitlines()
        if re.match(r"\| `[a-z]+\.", line)
    ]
    assert len(rows) > 300
    for code, message, remedy in rows:
        assert re.search("[a-z]{2}", message), code
        assert not re.search(r"(^|\s)=…|…=…", message + remedy), code
        assert not remedy or re.search("[a-z]{2}", remedy), code
