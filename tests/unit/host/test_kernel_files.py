"""The files by which the host has its kernel parameters at the next boot too."""

from infisical_iac.host.kernel import parameters, sysctl
from tests.unit.settings_of import settings_of


def test_a_file_of_debian_that_is_read_later_does_not_set_less() -> None:
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


def test_without_hardening_debians_file_is_left_to_itself() -> None:
    [ours] = sysctl(parameters(settings_of(hardening="off")))
    assert ours.path == "/etc/sysctl.d/90-infisical-iac.conf"
