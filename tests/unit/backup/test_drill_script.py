"""Test the environment that drill.sh passes to snapshot.sh."""

import json
import subprocess
from pathlib import Path

from infisical_iac.core.rendering import script_file

_OWN = ("AUTH_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
_SNAPSHOT = "env >{directory}/seen; echo projects 2"


def test_a_drill_has_passwords_of_its_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "manifest.json").write_text(json.dumps({"rows": {"projects": 2}}))
    (tmp_path / "backup.conf").write_text("TARGETS=local\n")
    (tmp_path / "snapshot.sh").write_text(_SNAPSHOT.format(directory=tmp_path))
    (tmp_path / "reporting.sh").write_text(script_file("reporting"))
    text = script_file("drill").replace("/var/lib/infisical-drill", str(tmp_path))
    (tmp_path / "drill.sh").write_text(text.replace("/etc/infisical/backup", str(tmp_path)))
    environment = {"PATH": "/usr/bin:/bin", "seconds": "1", "INFISICAL_IMAGE": "none"}
    subprocess.run(["sh", tmp_path / "drill.sh", "loaded"], env=environment, check=True)
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert len({seen[name] for name in _OWN}) == 3
    assert {len(seen[name]) for name in _OWN} == {64}
