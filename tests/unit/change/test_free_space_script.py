"""Test that `releases.sh free_space` measures the disks of images, data and releases."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.unit.fake_host import make_host


def test_free_space_of_a_data_volume_is_measured_there(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    # /dev/shm is another file system than the test's directory, as a data volume would be.
    with TemporaryDirectory(dir="/dev/shm") as data:
        host.write("/docker info", f"{tmp_path}\n")
        host.write("/docker volume inspect", f"{data}\n")
        (Path(data) / "base").write_bytes(bytes(300 * 1024))
        (Path(data) / "pg_wal").mkdir()
        (Path(data) / "pg_wal" / "segment").write_bytes(bytes(900 * 1024))
        said = [int(each) for each in host.run("releases", "free_space").stdout.split()]
        devices = [os.stat(each).st_dev for each in (tmp_path, data, tmp_path)]
        assert devices[0] != devices[1]
        assert said[0:6:2] == devices
        assert all(free > 0 for free in said[1:6:2])
        assert 300 <= said[6] < 400
