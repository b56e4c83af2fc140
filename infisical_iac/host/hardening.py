"""Modes of others' files that are tightened, and the texts of the host's small files."""

from collections.abc import Mapping

from infisical_iac.facts.files import PathState

# What cron runs, and who may become root, is for root alone to read.
MODES = {
    "/etc/crontab": "600",
    "/etc/cron.d": "700",
    "/etc/cron.hourly": "700",
    "/etc/cron.daily": "700",
    "/etc/cron.weekly": "700",
    "/etc/cron.monthly": "700",
    "/etc/ssh/sshd_config": "600",
    "/etc/sudoers.d": "750",
}

# Half an hour without a key closes a shell; files that people make are not for everybody.
SHELLS = """\
umask 027
TMOUT=1800
readonly TMOUT
export TMOUT
"""

JOURNAL = """\
[Journal]
Storage=persistent
SystemMaxUse=1G
MaxRetentionSec=6month
"""

AUDIT_RULES = """\
# Written by infisical-iac; a change made here is undone by the next run.
-w /etc/infisical/ -p wa -k infisical
-w /etc/docker/ -p wa -k docker
-w /etc/ssh/ -p wa -k ssh
-w /root/.ssh/ -p wa -k ssh
-w /etc/passwd -p wa -k identity
-w /etc/shadow -p wa -k identity
-w /etc/group -p wa -k identity
-w /etc/sudoers -p wa -k rights
-w /etc/sudoers.d/ -p wa -k rights
-w /etc/systemd/system/ -p wa -k units
-w /var/log/infisical-iac/ -p wa -k audit
"""


def loose(states: Mapping[str, PathState]) -> dict[str, str]:
    """Of MODES, those paths that are there and allow more, with the mode that they should have."""
    return {
        path: f"{int(states[path].mode, 8) & ~_surplus(states[path].mode, mode):o}"
        for path, mode in MODES.items()
        if path in states and _surplus(states[path].mode, mode)
    }


def _surplus(mode: str, most: str) -> int:
    return int(mode, 8) & 0o777 & ~int(most, 8)
