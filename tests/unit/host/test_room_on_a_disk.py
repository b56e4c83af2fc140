"""Test whether a script finds that there is room on a disk, and what it says where there is
none.
"""

import os
import subprocess
from pathlib import Path

import pytest

from infisical_iac.core.rendering import script_file

# A df of a disk with a little more than 2 MB free.
_DF = """#!/bin/sh
echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'
echo '/dev/sda1 102400 100300 2100 98% /'
"""


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        (2099, "there is\n"),
        (2100, "it may take 2 MB, and the disk has 2 MB free: make room\n"),
        (102400, "it may take 100 MB, and the disk has 2 MB free: make room\n"),
    ],
)
def test_room_is_what_is_left_when_all_is_written(tmp_path: Path, needed: int, told: str) -> None:
    (tmp_path / "df").write_text(_DF)
    (tmp_path / "df").chmod(0o755)
    text = (
        f"{script_file('room')}\n"
        f'has_room {needed} /somewhere && echo there is || echo "it $takes, and the disk $has"\n'
    )
    done = subprocess.run(
        ["sh", "-euc", text],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == told
