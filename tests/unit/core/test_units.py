"""Test which units a plan starts."""

from infisical_iac.core import units
from infisical_iac.core.change import Change, UpToDate

_UNITS = ["docker.service", "unattended-upgrades.service"]


def test_a_unit_that_its_package_starts_is_not_planned() -> None:
    """The plan for a bare host has as many changes as its run makes."""
    (change, *_) = units.decide(_UNITS, {}, installed=["docker.service"])
    assert change == Change("~", "unattended-upgrades.service", "enabled and started")


def test_nothing_is_planned_if_packages_start_all_units() -> None:
    (found,) = units.decide(_UNITS, {}, installed=_UNITS)
    assert isinstance(found, UpToDate)


def test_a_unit_that_its_package_did_not_start_is_started() -> None:
    """The run decides again after the packages are installed."""
    changes = [each for each in units.decide(_UNITS, {}) if isinstance(each, Change)]
    assert [each.what for each in changes] == _UNITS
