"""Test that a `server create` killed after any request is completed by the next one."""

from pathlib import Path

import pytest

from tests.hcloud.cloud import KINDS
from tests.hcloud.world import make_world


def test_a_killed_create_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for deaths in range(1, 40):
        with (
            monkeypatch.context() as patch,
            make_world(tmp_path / str(deaths), patch) as world,
        ):
            world.api.dies_after = deaths
            if world.run("create", "--yes").exit_code == 0:
                break
            world.api.dies_after = None
            world.ok("create", "--yes")
            assert world.run("plan").exit_code == 0
            counts = {kind: len(found) for kind, found in world.cloud.kinds.items() if found}
            assert counts == dict.fromkeys(KINDS, 1), deaths
            assert len(world.known_hosts) == 1
    assert 10 <= deaths < 39
