"""Test which options `infisical-iac rollback` refuses before it inspects a host."""

from click.testing import CliRunner

from infisical_iac.cli.main import main


def test_json_is_refused_without_list() -> None:
    done = CliRunner().invoke(main, ["rollback", "--json"])
    assert done.exit_code == 1
    assert "--json goes with --list" in done.output
