"""Test corrections in a settings file: everything else stays as a person wrote it."""

import pytest

from infisical_iac.core.errors import FileError
from infisical_iac.init.repository import literal, read_settings, set_settings

_BY_HAND = '''\
"""Ours."""

import os

schema_version = 1
ssh_hostname   =  "203.0.113.7"   # the old box; München
# ssh_user = "root"
#ssh_port = 22

backup_targets = (
    {"name": "local", "repository": "/var/backups"},  # on the disk
)
workspace_file: str = "group_data/acme.yaml"
site_url = os.environ["URL"]
'''


def test_a_value_is_set_in_its_place() -> None:
    after = set_settings(_BY_HAND, {"ssh_hostname": "198.51.100.1", "workspace_file": "b.yaml"})
    expected = _BY_HAND.replace("203.0.113.7", "198.51.100.1").replace(
        "group_data/acme.yaml", "b.yaml"
    )
    assert after == expected


def test_a_new_value_replaces_its_example() -> None:
    after = set_settings(_BY_HAND, {"ssh_user": "deploy", "ssh_port": 2222})
    assert after == _BY_HAND.replace('# ssh_user = "root"', 'ssh_user = "deploy"').replace(
        "#ssh_port = 22", "ssh_port = 2222"
    )


def test_a_value_without_an_example_is_added_at_the_end() -> None:
    assert set_settings("a = 1", {"ingress": "none"}) == 'a = 1\ningress = "none"\n'
    assert set_settings("", {"ingress": "none"}) == 'ingress = "none"\n'


def test_a_value_that_is_dropped_becomes_a_comment() -> None:
    after = set_settings(_BY_HAND, {"backup_targets": None, "nothing": None})
    assert read_settings(after).keys() == read_settings(_BY_HAND).keys() - {"backup_targets"}
    assert '# backup_targets = (\n#     {"name"' in after
    assert (
        after.replace("# backup", "backup").replace("#     {", "    {").replace("# )", ")")
        == _BY_HAND
    )


def test_a_value_of_several_lines_is_replaced_completely() -> None:
    targets = ({"name": "local", "repository": "/b"}, {"name": "box", "port": 23})
    after = set_settings(_BY_HAND, {"backup_targets": targets})
    assert read_settings(after)["backup_targets"] == targets
    assert '    {"name": "box", "port": 23},\n)\nworkspace_file' in after


def test_a_computed_value_is_refused_with_its_line() -> None:
    with pytest.raises(FileError) as refused:
        set_settings(_BY_HAND, {"site_url": "https://secrets.example.com"})
    assert refused.value.code == "file.settings"
    assert "line 14" in str(refused.value)


def test_a_file_that_is_not_python_is_refused_with_its_line() -> None:
    with pytest.raises(FileError, match="line 2"):
        read_settings("a = 1\nb = (\n")


@pytest.mark.parametrize("value", ["a", 'say "hello"', "back\\slash", "a\nb", 22, True, (), ("a",)])
def test_a_written_literal_is_read_back_unchanged(value: object) -> None:
    assert read_settings(f"name = {literal(value)}\n") == {"name": value}
