"""Test that each path of the project is on the data volume, or has a reason to stay on the disk."""

import re
from pathlib import Path

from infisical_iac.agent.volume import PLACES

_ROOT = Path(__file__).resolve().parents[3]
_KEPT = re.compile(r"/(?:etc|var/lib|var/log|var/backups|var/cache)/infisical[a-z-]*")
_DIRECTORY = re.compile(r"^(State|Logs|Cache|Configuration)Directory=(.*)$", re.MULTILINE)
_BASES = {"State": "/var/lib", "Logs": "/var/log", "Cache": "/var/cache", "Configuration": "/etc"}

# Places that stay on the host's own disk.
_STAYS = {
    "/etc/infisical-iac": "the host's firewall, which is up before anything is mounted",
    "/etc/infisical-access-log.conf": "a file of earlier versions, which a run removes",
    "/var/cache/infisical-backup": "restic re-creates it from the repositories",
    "/var/lib/infisical-logs": "the place in this host's journal, and lines that wait",
    "/var/lib/infisical-maintenance": "results of the upgrades of this host's packages",
    "/var/lib/infisical-monitor": "alerts of this host, also of a data volume that is gone",
    "/var/lib/infisical-trial": "the rollback of a change of this host's firewall or sshd",
}


def _list_places() -> set[str]:
    """Return the paths on hosts that the sources name."""
    found: set[str] = set()
    for directory in ("infisical_iac", "templates"):
        for file in (_ROOT / directory).rglob("*.*"):
            if file.suffix in (".py", ".sh", ".j2"):
                text = file.read_text()
                found |= {*_KEPT.findall(text)}
                for kind, names in _DIRECTORY.findall(text):
                    found |= {f"{_BASES[kind]}/{name}" for name in names.split()}
    return found


def test_every_path_is_on_the_volume_or_has_a_reason_to_stay() -> None:
    stays = {path.removesuffix(".conf") for path in _STAYS}
    # A path with a hyphen at its end is a prefix of several paths.
    named = {place for place in _list_places() if not place.endswith("-")}
    assert len(named) > 10
    assert named - {*PLACES.values()} - stays == set()
    assert stays <= named, "a path of _STAYS is not in the sources"
