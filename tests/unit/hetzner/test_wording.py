"""Test the wording of messages. Other tests assert settings, variables and values."""

from pathlib import Path

import pytest

from infisical_iac.hetzner.production import production_hosts


def test_wording_of_a_variable_for_a_single_host_in_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFISICAL_HOST", "a")
    file = tmp_path / "hetzner.py"
    file.write_text('topology = "swarm"\n')
    with pytest.raises(SystemExit) as ended:
        production_hosts(file)
    assert str(ended.value) == (
        'INFISICAL_HOST is set while topology is "swarm" in hetzner.py: name all hosts in '
        "INFISICAL_HOSTS, or unset it"
    )
