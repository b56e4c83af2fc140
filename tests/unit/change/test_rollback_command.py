"""Test what `infisical-iac rollback` refuses before it inspects a host."""

from click.testing import CliRunner

from infisical_iac.cli.main import main


def test_json_is_refused_where_nothing_is_listed() -> None:
    done = CliRunner().invoke(main, ["rollback", "--json"])
    assert done.exit_code == 1
    assert "--json goes with --list" in done.output
