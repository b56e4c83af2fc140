"""Test the value of a fact of a silent host."""

from infisical_iac.stack.state import Upgrades, UpgradeState


def test_the_fact_of_a_silent_host_is_empty() -> None:
    assert Upgrades().default() == UpgradeState()
