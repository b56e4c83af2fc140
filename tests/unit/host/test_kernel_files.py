"""Test the files that set the kernel parameters of a host at each boot."""

from infisical_iac.host.kernel import parameters, sysctl
from tests.unit.settings_of import settings_of


def test_a_later_file_of_debian_does_not_weaken_the_parameters() -> None:
    values = parameters(settings_of())
    ours, last = sysctl(values)
    assert (ours.path, last.path) == (
        "/etc/sysctl.d/90-infisical-iac.conf",
        "/etc/sysctl.d/99-protect-links.conf",
    )
    assert len(ours.content.splitlines()) == len(values)
    # Debian 12's own file sets these four.
    names = ("fifos", "hardlinks", "regular", "symlinks")
    assert sorted(last.content.splitlines()) == [
        f"-fs.protected_{name} = {values[f'fs.protected_{name}']}" for name in names
    ]


def test_without_hardening_the_file_of_debian_is_not_overridden() -> None:
    [ours] = sysctl(parameters(settings_of(hardening="off")))
    assert ours.path == "/etc/sysctl.d/90-infisical-iac.conf"
