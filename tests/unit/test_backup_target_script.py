"""What backup-target.sh makes of restic's answers, with a restic that is played."""

import os
import subprocess
from pathlib import Path

import pytest

from infisical_iac.rendering import script_file

_REFUSING = "#!/bin/sh\necho 'Fatal: wrong password or no key found' >&2\nexit 12\n"


@pytest.mark.parametrize("step", [("list", "box"), ("fetch", "box", "latest", "fetched")])
def test_a_password_of_before_a_rotation_is_named_by_its_file(
    tmp_path: Path, step: tuple[str, ...]
) -> None:
    (tmp_path / "backup.conf").touch()
    (tmp_path / "box.conf").write_text("REPOSITORY=/mnt/box\n")
    (tmp_path / "restic").write_text(_REFUSING)
    (tmp_path / "restic").chmod(0o755)
    text = script_file("backup-target").replace("/etc/infisical/backup", str(tmp_path))
    done = subprocess.run(
        ["sh", "-c", text, "backup-target.sh", *step],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "/mnt/box has another password than /etc/infisical/keys/restic_password: bring that file "
        "back from a recovery kit that was made since the last `keys rotate restic`"
    )
