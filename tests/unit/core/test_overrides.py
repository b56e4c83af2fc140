"""Test which templates of users replace the tool's, and how changed originals are reported."""

import json
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from infisical_iac.core import bundle, rendering
from infisical_iac.core.errors import FileError, Refused, SettingsError
from infisical_iac.core.rendering import template

_NAME = "host/infisical-firewall.conf"
_OWN = Path("templates/host/infisical-firewall.conf.j2")
_ORIGINAL = Path("templates/.ejected/host/infisical-firewall.conf.j2")
_RECORDS = Path("templates/.ejected/versions.json")


@pytest.fixture(autouse=True)
def _repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _read_shipped() -> str:
    return (bundle.TEMPLATES / f"{_NAME}.j2").read_text("utf-8")


def _eject_from_earlier_version(line: str = "# earlier\n") -> None:
    """Eject a template as version 0.0.9, whose original had one more line at its end."""
    rendering.eject(_NAME)
    earlier = _read_shipped() + line
    _ORIGINAL.write_text(earlier)
    _OWN.write_text(earlier + "# mine\n")
    origin = {"version": "0.0.9", "sha256": rendering._hash(earlier)}
    _RECORDS.write_text(json.dumps({_NAME: origin}))


def test_an_ejected_template_is_the_original_and_has_its_version() -> None:
    assert rendering.eject(_NAME) == _OWN
    assert _OWN.read_text() == _ORIGINAL.read_text() == _read_shipped()
    assert json.loads(_RECORDS.read_text())[_NAME]["version"] == bundle.version()


def test_a_template_of_the_user_replaces_the_tools_template() -> None:
    _OWN.parent.mkdir(parents=True)
    _OWN.write_text("mine {{ word }}\n")
    assert template("infisical-firewall.conf", word="own") == "mine own\n"


def test_a_part_of_the_user_is_included_by_the_tools_template() -> None:
    """A part is a template with its own path, which other templates include."""
    part = "stack/parts/infisical-readiness"
    assert part in rendering.list_templates()
    shipped = bundle.TEMPLATES / f"{part}.j2"
    assert rendering.find_file(shipped) == shipped
    rendering.eject(part)
    assert rendering.find_file(shipped) == Path(f"templates/{part}.j2")


@pytest.mark.parametrize("folder", ["init", "migrate", "backup", "host"])
@pytest.mark.parametrize(
    "name", ["group_data/hetzner.py", "group_data/chainalign.yaml", "migration-report.html"]
)
def test_templates_that_are_not_deployed_can_not_be_replaced(folder: str, name: str) -> None:
    """`check` and `migrate` must not run code of the repositories that they inspect."""
    own = Path("templates") / folder / f"{name}.j2"
    own.parent.mkdir(parents=True)
    own.write_text("{{ raise_an_error() }}")
    assert not [each for each in rendering.list_templates() if each.startswith(("init", "migrate"))]
    (shipped,) = bundle.TEMPLATES.glob(f"*/{name}.j2")
    assert rendering.find_file(shipped) == shipped
    with pytest.raises(UndefinedError, match="undefined") as raised:
        template(name)
    assert "raise_an_error" not in str(raised.value)


def test_a_template_in_another_folder_replaces_no_template() -> None:
    own = Path("templates/backup/infisical-firewall.conf.j2")
    own.parent.mkdir(parents=True)
    own.write_text("not this\n")
    assert "not this" not in template("infisical-firewall.conf")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("stack/compose.yaml", "stack/compose.yaml"),
        ("compose.yaml", "stack/compose.yaml"),
        ("templates/stack/compose.yaml.j2", "stack/compose.yaml"),
        ("stack/caddy.yaml", "cluster/stack/caddy.yaml"),
    ],
)
def test_a_template_is_found_by_its_path_or_the_end_of_its_path(text: str, name: str) -> None:
    assert rendering.find_template(text) == name


@pytest.mark.parametrize(
    ("text", "fact"), [("compose.yml", "'stack/compose.yaml'"), ("zzz", "`infisical-iac eject`")]
)
def test_an_unknown_template_is_refused_with_a_hint(text: str, fact: str) -> None:
    with pytest.raises(SettingsError, match=fact) as raised:
        rendering.find_template(text)
    assert raised.value.code == "settings.template"


def test_a_template_that_exists_is_not_overwritten() -> None:
    rendering.eject(_NAME)
    _OWN.write_text("mine\n")
    with pytest.raises(Refused) as raised:
        rendering.eject(_NAME)
    assert raised.value.code == "refused.ejected"
    assert _OWN.read_text() == "mine\n"


def test_a_template_of_this_version_is_not_reported() -> None:
    rendering.eject(_NAME)
    _OWN.write_text("mine\n")
    assert rendering.describe_overrides() == []


def test_a_change_of_the_original_is_shown_with_the_difference_until_it_is_acknowledged() -> None:
    _eject_from_earlier_version()
    (sentence,) = rendering.describe_overrides()
    first, *lines = sentence.splitlines()
    assert str(_OWN) in first
    assert "0.0.9" in first
    assert f"infisical-iac eject {_NAME} --keep-mine" in first
    assert "-# earlier" in lines
    assert not [line for line in lines if "mine" in line]
    rendering.keep(_NAME)
    assert rendering.describe_overrides() == []
    assert _OWN.read_text().endswith("# mine\n")


def test_a_template_that_has_become_the_original_is_up_to_date() -> None:
    _eject_from_earlier_version()
    _OWN.write_text(_read_shipped())
    assert rendering.describe_overrides() == []


def test_a_missing_original_is_named_instead_of_a_difference() -> None:
    _eject_from_earlier_version()
    _ORIGINAL.unlink()
    (sentence,) = rendering.describe_overrides()
    assert str(_ORIGINAL) in sentence
    assert "\n" not in sentence


def test_a_template_without_a_record_is_named() -> None:
    rendering.eject(_NAME)
    _RECORDS.unlink()
    _OWN.write_text("mine\n")
    (sentence,) = rendering.describe_overrides()
    assert str(_OWN) in sentence
    assert "--diff" in sentence


def test_a_template_that_the_tool_no_longer_has_is_named() -> None:
    file = Path("templates/stack/gone.conf.j2")
    file.parent.mkdir(parents=True)
    file.write_text("")
    (sentence,) = rendering.describe_overrides()
    assert str(file) in sentence


def test_a_template_outside_its_folder_is_reported_with_its_path() -> None:
    Path("templates").mkdir()
    Path("templates/compose.yaml.j2").write_text("")
    (sentence,) = rendering.describe_overrides()
    assert "templates/stack/compose.yaml.j2" in sentence


def test_compare_returns_a_unified_diff() -> None:
    rendering.eject(_NAME)
    _OWN.write_text(_read_shipped() + "# mine\n")
    assert rendering.compare(_NAME).splitlines()[-1] == "+# mine"


def test_compare_and_keep_refuse_a_template_that_is_not_ejected() -> None:
    for function in (rendering.compare, rendering.keep):
        with pytest.raises(Refused) as raised:
            function(_NAME)
        assert raised.value.code == "refused.not_ejected"


def test_records_that_cannot_be_read_are_named() -> None:
    rendering.eject(_NAME)
    _RECORDS.write_text("{")
    with pytest.raises(FileError) as raised:
        rendering.describe_overrides()
    assert raised.value.code == "file.template"
    assert str(_RECORDS) in str(raised.value)


@pytest.mark.parametrize("text", ["{{ unknown_word }}", "{% if %}", "\n{{ 1 + 'a' }}"])
def test_an_error_in_a_template_of_the_user_is_a_sentence_with_its_line(text: str) -> None:
    _OWN.parent.mkdir(parents=True)
    _OWN.write_text(text)
    with pytest.raises(FileError) as raised:
        template("infisical-firewall.conf")
    assert raised.value.code == "file.template"
    assert f"{_OWN}, line {text.count(chr(10)) + 1}" in str(raised.value)


def test_a_checkout_of_the_tool_has_no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle.ROOT)
    assert rendering.list_overrides() == []
    assert rendering.describe_overrides() == []
    with pytest.raises(Refused) as raised:
        rendering.eject(_NAME)
    assert raised.value.code == "refused.tools_own_templates"
